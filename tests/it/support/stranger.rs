//! A process of another user of this machine that listens where a hub of ours
//! is looked for, and keeps every byte that it gets.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::unistd::{Uid, setfsuid};

use super::eventually;

/// The other user, who need not exist.
pub(crate) const UID: u32 = 4242;

/// What a hub might say: whoever believes it types the mention.
const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n\
    {\"id\":1,\"ok\":true,\"name\":\"fake\",\"token\":\"0123456789abcdef0123456789abcdef\",\"sender\":\"x\",\"text\":\"y\",\"type\":\"chat\"}";

/// It listens until it is dropped.
pub(crate) struct Stranger {
    heard: Arc<Mutex<Vec<u8>>>,
    met: Arc<Mutex<usize>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Stranger {
    /// Takes these ports as soon as they are free. None where we are not root,
    /// who alone can be somebody else.
    pub(crate) fn at(ports: &[u16]) -> Option<Self> {
        if !Uid::effective().is_root() {
            return None;
        }
        let mut stranger = Self {
            heard: Arc::default(),
            met: Arc::default(),
            stop: Arc::default(),
            threads: Vec::new(),
        };
        for port in ports {
            let listener = eventually("a free port", || {
                TcpListener::bind(("127.0.0.1", *port)).ok()
            });
            listener.set_nonblocking(true).expect("set");
            let (heard, met) = (Arc::clone(&stranger.heard), Arc::clone(&stranger.met));
            let stop = Arc::clone(&stranger.stop);
            stranger.threads.push(std::thread::spawn(move || {
                // A socket belongs to whom the thread is that accepts it.
                setfsuid(Uid::from_raw(UID));
                listen(&listener, &heard, &met, &stop);
            }));
        }
        Some(stranger)
    }

    /// All that it has got.
    pub(crate) fn heard(&self) -> String {
        let heard = self.heard.lock().expect("no panic");
        String::from_utf8_lossy(&heard).into_owned()
    }

    /// How many connections it has accepted.
    pub(crate) fn met(&self) -> usize {
        *self.met.lock().expect("no panic")
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // Its panic has failed the test already.
            let _ = thread.join();
        }
    }
}

fn listen(listener: &TcpListener, heard: &Mutex<Vec<u8>>, met: &Mutex<usize>, stop: &AtomicBool) {
    let mut open: Vec<TcpStream> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        if let Ok((io, _)) = listener.accept() {
            io.set_nonblocking(true).expect("set");
            *met.lock().expect("no panic") += 1;
            open.push(io);
        }
        open.retain_mut(|io| {
            let mut bytes = [0; 4096];
            match io.read(&mut bytes) {
                Ok(0) => false,
                Ok(n) => {
                    heard.lock().expect("no panic").extend(&bytes[..n]);
                    // The other end may have gone.
                    let _ = io.write_all(ANSWER.as_bytes());
                    false
                }
                Err(error) => error.kind() == ErrorKind::WouldBlock,
            }
        });
        std::thread::park_timeout(Duration::from_millis(1));
    }
}
