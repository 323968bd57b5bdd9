//! Whose process is at the other end of a loopback connection.
//!
//! Linux tells the owner of every TCP socket in `/proc/net/tcp`; so a caller
//! without a token can still prove to be this user. Elsewhere nobody can.

use std::net::{IpAddr, SocketAddr};

use nix::unistd::Uid;

/// True if the socket at `peer`, connected to our `port`, is this user's.
pub(super) fn is_us(peer: SocketAddr, port: u16) -> bool {
    let table = match peer.ip().to_canonical() {
        IpAddr::V4(_) => "/proc/net/tcp",
        IpAddr::V6(_) => "/proc/net/tcp6",
    };
    // An IPv4 peer may hold an IPv6 socket: both tables can have it.
    [table, "/proc/net/tcp6"].iter().any(|table| {
        std::fs::read_to_string(table)
            .ok()
            .and_then(|text| owner(&text, peer, port))
            .is_some_and(|uid| uid == Uid::current().as_raw())
    })
}

/// The uid of the established socket whose own end is `peer` and whose far
/// end is a loopback address at `port`. A socket that is being closed has
/// lost its owner (it says 0), and proves nothing.
fn owner(table: &str, peer: SocketAddr, port: u16) -> Option<u32> {
    const ESTABLISHED: &str = "01";
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, remote, state) = (fields.next()?, fields.next()?, fields.next()?);
        let uid = fields.nth(3)?;
        let (local, remote) = (address(local)?, address(remote)?);
        let ours = local == (peer.ip().to_canonical(), peer.port())
            && remote.0.is_loopback()
            && remote.1 == port
            && state == ESTABLISHED;
        ours.then(|| uid.parse().ok())?
    })
}

/// `0100007F:1F90`: the words of the address in the machine's byte order, and
/// the port.
fn address(text: &str) -> Option<(IpAddr, u16)> {
    let (ip, port) = text.split_once(':')?;
    let word = |hex: &str| Some(u32::from_str_radix(hex, 16).ok()?.to_ne_bytes());
    let ip = match ip.len() {
        8 => IpAddr::from(word(ip)?),
        32 => {
            let mut bytes = [0; 16];
            for (index, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(ip.get(index * 8..index * 8 + 8)?)?);
            }
            IpAddr::from(bytes).to_canonical()
        }
        _ => return None,
    };
    Some((ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
#[cfg(target_endian = "little")]
mod tests {
    use super::*;

    const V4: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:206C 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1 0 100 0 0 10 0
   1: 0100007F:206C 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1000        0 2 1 0 20 4 0 10 -1
   2: 0100007F:D431 0100007F:206C 01 00000000:00000000 00:00000000 00000000  1001        0 3 1 0 20 4 0 10 -1
   3: 0100007F:D432 0100007F:206C 06 00000000:00000000 00:00000000 00000000     0        0 0 3 0
   4: 0100007F:D433 0A00000A:206C 01 00000000:00000000 00:00000000 00000000  1001        0 3 1 0 20 4 0 10 -1
";
    const V6: &str = "\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000001000000:D434 00000000000000000000000001000000:206C 01 00000000:00000000 00:00000000 00000000  1002        0 4 1 0 20 4 0 10 -1
   1: 0000000000000000FFFF00000100007F:D435 0000000000000000FFFF00000100007F:206C 01 00000000:00000000 00:00000000 00000000  1003        0 5 1 0 20 4 0 10 -1
";

    #[test]
    fn the_owner_of_a_socket_is_found_by_both_its_ends() {
        for (table, peer, uid) in [
            (V4, "127.0.0.1:54321", Some(1001)),
            (V4, "127.0.0.1:54322", None),
            (V4, "127.0.0.1:54323", None),
            (V4, "127.0.0.1:1", None),
            (V6, "[::1]:54324", Some(1002)),
            (V6, "127.0.0.1:54325", Some(1003)),
            ("", "127.0.0.1:54321", None),
            ("header\nnonsense\n", "127.0.0.1:54321", None),
        ] {
            let peer = peer.parse().expect("an address");
            assert_eq!(owner(table, peer, 8300), uid, "{peer}");
        }
    }
}
