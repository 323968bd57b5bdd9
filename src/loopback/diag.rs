//! One socket of this machine, by `NETLINK_SOCK_DIAG` (Linux, `sock_diag(7)`):
//! a question about one connection, some microseconds.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};

use super::Far;

/// `nlmsghdr`
const HEADER: usize = 16;
/// `inet_diag_sockid`
const SOCKET_ID: usize = 48;
/// `inet_diag_req_v2`
const QUESTION: usize = 8 + SOCKET_ID;
/// `inet_diag_msg`
const ANSWER: usize = 4 + SOCKET_ID + 20;

const NLMSG_ERROR: u16 = 2;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const TCP: u8 = 6;

// States of a TCP socket (`tcp_states.h`).
const ESTABLISHED: u8 = 1;
const SYN_RECEIVED: u8 = 3;
const CLOSE_WAIT: u8 = 8;
const LISTEN: u8 = 10;
const NEW_SYN_RECEIVED: u8 = 12;

/// What the kernel says of the socket at `at` that is connected to `to`; none
/// if it knows none.
pub(super) fn look(at: SocketAddr, to: SocketAddr) -> io::Result<Option<Far>> {
    let netlink = socket(
        AddressFamily::Netlink,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkSockDiag,
    )?;
    send(netlink.as_raw_fd(), &question(at, to), MsgFlags::empty())?;
    let mut answer = [0; 1024];
    // The kernel has answered when the question is sent.
    let length = recv(netlink.as_raw_fd(), &mut answer, MsgFlags::MSG_DONTWAIT)?;
    read(&answer[..length], at, to)
}

/// A question for exactly this connection.
fn question(at: SocketAddr, to: SocketAddr) -> [u8; HEADER + QUESTION] {
    let (at, to) = (canonical(at), canonical(to));
    let family = if at.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    let mut bytes = [0; HEADER + QUESTION];
    let mut put = |offset: usize, part: &[u8]| {
        bytes[offset..offset + part.len()].copy_from_slice(part);
    };
    let length = u32::try_from(HEADER + QUESTION).unwrap_or_default();
    put(0, &length.to_ne_bytes());
    put(4, &SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    put(6, &NLM_F_REQUEST.to_ne_bytes());
    put(
        HEADER,
        &[u8::try_from(family as i32).unwrap_or_default(), TCP],
    );
    // In every state.
    put(HEADER + 4, &u32::MAX.to_ne_bytes());
    let id = HEADER + 8;
    put(id, &at.port().to_be_bytes());
    put(id + 2, &to.port().to_be_bytes());
    put(id + 4, &octets(at.ip()));
    put(id + 20, &octets(to.ip()));
    // Without a cookie.
    put(id + 40, &[0xff; 8]);
    bytes
}

fn read(bytes: &[u8], at: SocketAddr, to: SocketAddr) -> io::Result<Option<Far>> {
    let short = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let kind = u16::from_ne_bytes(part(bytes, 4).ok_or_else(short)?);
    if kind == NLMSG_ERROR {
        let errno = i32::from_ne_bytes(part(bytes, HEADER).ok_or_else(short)?);
        let error = io::Error::from_raw_os_error(-errno);
        return match error.kind() {
            io::ErrorKind::NotFound => Ok(None),
            _ => Err(error),
        };
    }
    if kind != SOCK_DIAG_BY_FAMILY || bytes.len() < HEADER + ANSWER {
        return Err(short());
    }
    let message = &bytes[HEADER..];
    let (family, state) = (message[0], message[1]);
    let address = |port: usize, ip: usize| {
        let port = u16::from_be_bytes(part(message, port)?);
        let ip: IpAddr = if i32::from(family) == AddressFamily::Inet as i32 {
            part::<4>(message, ip)?.into()
        } else {
            part::<16>(message, ip)?.into()
        };
        Some(SocketAddr::new(ip.to_canonical(), port))
    };
    // Where there is no such connection, the kernel tells of a listener.
    if state == LISTEN
        || address(4, 8) != Some(canonical(at))
        || address(6, 24) != Some(canonical(to))
    {
        return Ok(None);
    }
    let end = 4 + SOCKET_ID;
    let uid = u32::from_ne_bytes(part(message, end + 12).ok_or_else(short)?);
    let inode = u32::from_ne_bytes(part(message, end + 16).ok_or_else(short)?);
    Ok(Some(match (state, inode) {
        (_, 1..) => Far::Owned(uid),
        (ESTABLISHED | CLOSE_WAIT | SYN_RECEIVED | NEW_SYN_RECEIVED, 0) => Far::Waiting,
        _ => Far::Closed,
    }))
}

fn part<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}
