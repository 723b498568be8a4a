//! For tests: stands between a client and a real server and makes trouble.
//!
//! It understands as much HTTP/1.1 as it needs: a request is a head and `Content-Length` bytes; each
//! has a connection of its own to the server, whose end is the end of the answer.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The server never sees it; this status, and `Retry-After` if there is one, in seconds.
    Answer(u16, Option<u32>),
    /// The server carries it out; the client gets this status.
    AnswerAfter(u16),
    /// The connection ends before the server has seen it.
    CutBefore,
    /// The server carries it out, and the connection ends.
    CutAfter,
    /// The server carries it out, and its answer never comes.
    Silence,
    /// The server carries it out as if it had no condition.
    Forget,
}

impl Trouble {
    /// One of each kind that a client should survive.
    pub const ALL: [Self; 8] = [
        Self::Answer(503, Some(0)),
        Self::Answer(429, None),
        Self::Answer(500, None),
        Self::AnswerAfter(500),
        Self::AnswerAfter(503),
        Self::CutBefore,
        Self::CutAfter,
        Self::Silence,
    ];
}

/// Decides about a request: its method, its head, and its number from 1.
type Decide = Box<dyn FnMut(&str, u64) -> Option<Trouble> + Send>;

/// A proxy; gone when dropped.
pub(crate) struct Proxy {
    pub address: String,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: String,
    decide: Mutex<Decide>,
    requests: AtomicU64,
    troubles: AtomicU64,
    ended: AtomicBool,
    /// So that nobody waits for an answer for ever.
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    pub fn start(
        upstream: &str,
        decide: impl FnMut(&str, u64) -> Option<Trouble> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address: SocketAddr = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            decide: Mutex::new(Box::new(decide)),
            requests: AtomicU64::new(0),
            troubles: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            open: Mutex::default(),
        });
        let ours = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if ours.ended.load(Ordering::Acquire) {
                    return;
                }
                let ours = Arc::clone(&ours);
                // An error ends this connection, which is what a client expects of one.
                std::thread::spawn(move || drop(ours.serve(client)));
            }
        });
        Self { address: address.to_string(), shared }
    }

    /// Requests seen so far.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Acquire)
    }

    /// How many of them met trouble.
    pub fn troubles(&self) -> u64 {
        self.shared.troubles.load(Ordering::Acquire)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        // Wakes the listener.
        let _ = TcpStream::connect(&self.address);
        let open = self.shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        for client in open.iter() {
            let _ = client.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).push(client.try_clone()?);
        let request = Request::read(&mut client)?;
        let number = self.requests.fetch_add(1, Ordering::AcqRel) + 1;
        let trouble = {
            let mut decide = self.decide.lock().unwrap_or_else(PoisonError::into_inner);
            decide(&request.head, number)
        };
        self.troubles.fetch_add(u64::from(trouble.is_some()), Ordering::AcqRel);
        match trouble {
            None => client.write_all(&self.forward(&request)?)?,
            Some(Trouble::Forget) => client.write_all(&self.forward(&request.unconditional())?)?,
            Some(Trouble::Answer(status, after)) => client.write_all(&answer(status, after))?,
            Some(Trouble::AnswerAfter(status)) => {
                self.forward(&request)?;
                client.write_all(&answer(status, None))?;
            }
            Some(Trouble::CutBefore) => {}
            Some(Trouble::CutAfter) => drop(self.forward(&request)?),
            Some(Trouble::Silence) => {
                self.forward(&request)?;
                // Until the client gives up.
                let _ = client.read(&mut [0]);
            }
        }
        client.shutdown(Shutdown::Both)
    }

    /// The server's whole answer.
    fn forward(&self, request: &Request) -> io::Result<Vec<u8>> {
        let mut server = TcpStream::connect(&self.upstream)?;
        let (first, rest) = request.head.split_once("\r\n").ok_or(io::ErrorKind::InvalidData)?;
        let lines =
            rest.split("\r\n").filter(|l| !l.to_ascii_lowercase().starts_with("connection:"));
        let rest: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
        let head = format!("{first}\r\n{}\r\nConnection: close\r\n\r\n", rest.join("\r\n"));
        server.write_all(head.as_bytes())?;
        server.write_all(&request.body)?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer)?;
        Ok(answer)
    }
}

struct Request {
    /// Request line and headers.
    head: String,
    body: Vec<u8>,
}

impl Request {
    fn unconditional(self) -> Self {
        let condition = |line: &&str| line.to_ascii_lowercase().starts_with("if-none-match:");
        let head: Vec<&str> = self.head.split("\r\n").filter(|line| !condition(line)).collect();
        Self { head: head.join("\r\n"), body: self.body }
    }

    fn read(client: &mut TcpStream) -> io::Result<Self> {
        let (mut bytes, mut buffer) = (Vec::new(), [0; 16 * 1024]);
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            match client.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => bytes.extend_from_slice(&buffer[..n]),
            }
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        let mut body = bytes.split_off(end);
        let have = body.len();
        body.resize(length.unwrap_or(0), 0);
        if have < body.len() {
            client.read_exact(&mut body[have..])?;
        }
        Ok(Self { head, body })
    }
}

fn answer(status: u16, after: Option<u32>) -> Vec<u8> {
    let after = after.map(|s| format!("Retry-After: {s}\r\n")).unwrap_or_default();
    let body = "<Error><Code>Injected</Code></Error>";
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Trouble\r\n{after}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}
