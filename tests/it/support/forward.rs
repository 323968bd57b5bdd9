//! Proxies such as environments name, which lead every name to one port of this
//! machine.

use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A proxy that ends when it is dropped.
pub(crate) struct Forward {
    pub(crate) port: u16,
    /// What each connection began with, as text.
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Forward {
    /// One that speaks HTTP, and answers with `refusal` if there is one.
    pub(crate) async fn http(to: u16, refusal: Option<&'static str>) -> Self {
        Self::start(move |mut io, asked| async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(io.read_u8().await?);
            }
            let head = String::from_utf8(head).expect("text");
            asked.lock().expect("no panic").push(head.clone());
            if let Some(refusal) = refusal {
                return io.write_all(refusal.as_bytes()).await;
            }
            let mut upstream = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await?;
            if head.starts_with("CONNECT ") {
                io.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    .await?;
            } else {
                upstream.write_all(head.as_bytes()).await?;
            }
            copy_bidirectional(&mut io, &mut upstream).await.map(drop)
        })
        .await
    }

    /// One that speaks SOCKS 5 (RFC 1928), and wants a name and a password.
    pub(crate) async fn socks(to: u16) -> Self {
        Self::start(move |mut io, asked| async move {
            let mut greeting = [0; 3];
            io.read_exact(&mut greeting).await?;
            assert_eq!(greeting, [5, 1, 2]);
            io.write_all(&[5, 2]).await?;
            let mut said = Vec::new();
            assert_eq!(io.read_u8().await?, 1);
            for _ in 0..2 {
                let mut text = vec![0; usize::from(io.read_u8().await?)];
                io.read_exact(&mut text).await?;
                said.push(String::from_utf8(text).expect("text"));
            }
            io.write_all(&[1, 0]).await?;
            let mut request = [0; 4];
            io.read_exact(&mut request).await?;
            assert_eq!(request, [5, 1, 0, 3]);
            let mut host = vec![0; usize::from(io.read_u8().await?)];
            io.read_exact(&mut host).await?;
            said.push(String::from_utf8(host).expect("text"));
            said.push(io.read_u16().await?.to_string());
            asked.lock().expect("no panic").push(said.join(" "));
            io.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 1]).await?;
            let mut upstream = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await?;
            copy_bidirectional(&mut io, &mut upstream).await.map(drop)
        })
        .await
    }

    async fn start<F>(
        serve: impl Fn(TcpStream, Arc<Mutex<Vec<String>>>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let told = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            while let Ok((io, _)) = listener.accept().await {
                // A client that leaves is no failure of ours.
                tokio::spawn(serve(io, Arc::clone(&told)));
            }
        });
        Self { port, asked, task }
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic").clone()
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.task.abort();
    }
}
