//! One socket of this machine, by the tables of `/proc/net` (Linux): the slow
//! way, where the kernel answers no question about one. Other systems have no
//! such tables.

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::Far;

// States of a TCP socket (`tcp_states.h`).
const ESTABLISHED: &str = "01";
const SYN_RECEIVED: &str = "03";
const CLOSE_WAIT: &str = "08";
const NEW_SYN_RECEIVED: &str = "0C";

/// What the tables say of the socket at `at` that is connected to `to`.
///
/// # Errors
/// If there is no table to read.
pub(super) fn look(at: SocketAddr, to: SocketAddr) -> io::Result<Far> {
    // An IPv4 peer may hold an IPv6 socket: both tables can have it.
    let tables = match at.ip().to_canonical() {
        IpAddr::V4(_) => &["/proc/net/tcp", "/proc/net/tcp6"][..],
        IpAddr::V6(_) => &["/proc/net/tcp6"],
    };
    let mut result = Err(io::ErrorKind::NotFound.into());
    for table in tables {
        match std::fs::read_to_string(table) {
            Ok(text) => match find(&text, at, to) {
                Some(far) => return Ok(far),
                None => result = Ok(Far::Nowhere),
            },
            Err(error) if result.is_err() => result = Err(error),
            // The other table was read, and proves nothing: that is refused as well.
            Err(_) => {}
        }
    }
    result
}

/// The socket whose own end is `at` and whose far end is `to`.
fn find(table: &str, at: SocketAddr, to: SocketAddr) -> Option<Far> {
    let canonical = |address: SocketAddr| (address.ip().to_canonical(), address.port());
    let ends = (canonical(at), canonical(to));
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, remote, state) = (fields.next()?, fields.next()?, fields.next()?);
        let (uid, inode) = (fields.nth(3)?, fields.nth(1)?);
        if (address(local)?, address(remote)?) != ends {
            return None;
        }
        Some(match (state, inode) {
            (ESTABLISHED | CLOSE_WAIT | SYN_RECEIVED | NEW_SYN_RECEIVED, "0") => Far::Waiting,
            (_, "0") => Far::Closed,
            _ => Far::Owned(uid.parse().ok()?),
        })
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
   5: 0100007F:D436 0100007F:206C 01 00000000:00000000 00:00000000 00000000     0        0 0 1 0 20 4 0 10 -1
";
    const V6: &str = "\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000001000000:D434 00000000000000000000000001000000:206C 01 00000000:00000000 00:00000000 00000000  1002        0 4 1 0 20 4 0 10 -1
   1: 0000000000000000FFFF00000100007F:D435 0000000000000000FFFF00000100007F:206C 01 00000000:00000000 00:00000000 00000000  1003        0 5 1 0 20 4 0 10 -1
";

    #[test]
    fn a_socket_is_found_by_both_its_ends() {
        let (v4, v6) = ("127.0.0.1:8300", "[::1]:8300");
        for (table, at, to, far) in [
            (V4, "127.0.0.1:54321", v4, Some(Far::Owned(1001))),
            (V4, "127.0.0.1:54322", v4, Some(Far::Closed)),
            (V4, "127.0.0.1:54323", v4, None),
            (V4, "127.0.0.1:54326", v4, Some(Far::Waiting)),
            (V4, "127.0.0.1:1", v4, None),
            (V4, v4, "127.0.0.1:54321", Some(Far::Owned(1000))),
            (V6, "[::1]:54324", v6, Some(Far::Owned(1002))),
            (V6, "127.0.0.1:54325", v4, Some(Far::Owned(1003))),
            (V6, "[::ffff:127.0.0.1]:54325", v4, Some(Far::Owned(1003))),
            ("", "127.0.0.1:54321", v4, None),
            ("header\nnonsense\n", "127.0.0.1:54321", v4, None),
        ] {
            let [at, to] = [at, to].map(|text| text.parse().expect("an address"));
            assert_eq!(find(table, at, to), far, "{at}");
        }
    }
}
