//! A server that answers by script, for tests of whatever uses the client.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Client, ClientConfig, Patience};

/// What the server does with one request.
pub enum Answer {
    /// A status and a body.
    Say(&'static str, String),
    /// A success with these headers.
    With(String, String),
    /// Reads the request and closes the connection.
    HangUp,
}

/// Decides on an answer to a request.
type Decide = Box<dyn FnMut(&str) -> Answer + Send>;

/// Answers by script and keeps the requests.
pub struct Script {
    pub address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Script {
    /// Gives one answer after the other.
    pub async fn start(answers: Vec<Answer>) -> Self {
        let mut answers = VecDeque::from(answers);
        Self::deciding(move |_| answers.pop_front().expect("a request beyond the script")).await
    }

    /// Answers as this function says.
    pub async fn deciding(decide: impl FnMut(&str) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let decide: Arc<Mutex<Decide>> = Arc::new(Mutex::new(Box::new(decide)));
        let kept = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&decide), Arc::clone(&kept)));
            }
        });
        Self { address, requests }
    }

    pub fn client(&self, patience: Patience) -> Client {
        let address = self.address.parse().unwrap();
        Client::new(ClientConfig { address, token: Some("secret".into()), patience }).unwrap()
    }

    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    decide: Arc<Mutex<Decide>>,
    requests: Arc<Mutex<Vec<String>>>,
) {
    while let Some(request) = read_request(&mut stream).await {
        let answer = decide.lock().unwrap()(&request);
        requests.lock().unwrap().push(request);
        let (status, headers, body) = match answer {
            Answer::Say(status, body) => (status, String::new(), body),
            Answer::With(headers, body) => ("200 OK", headers, body),
            Answer::HangUp => return,
        };
        let length = body.len();
        let text = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
        stream.write_all(text.as_bytes()).await.unwrap();
    }
}

/// One request with its body; none once the client has gone.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut text = String::new();
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = header(head, "content-length").map_or(0, |text| text.parse().unwrap());
            if body.len() >= length {
                return Some(text);
            }
        }
        let mut bytes = [0; 4096];
        match stream.read(&mut bytes).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => text.push_str(std::str::from_utf8(&bytes[..count]).unwrap()),
        }
    }
}

/// A header of a request.
pub fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let mut headers = request.lines().filter_map(|line| line.split_once(": "));
    headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// A success with this body.
pub fn ok(body: impl Into<String>) -> Answer {
    Answer::Say("200 OK", body.into())
}
