//! Reads output over one connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use crate::harness::Server;

#[derive(Debug)]
pub struct Web {
    reader: BufReader<TcpStream>,
    token: String,
}

impl Web {
    pub fn new(server: &Server) -> Self {
        let stream = TcpStream::connect(server.address()).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { reader: BufReader::new(stream), token: server.admin_token() }
    }

    /// All of a stream of an execution, which is shorter than one reply carries.
    pub fn output(&mut self, execution: u64, stream: &str) -> Vec<u8> {
        let token = &self.token;
        let request = format!(
            "GET /api/v2/executions/{execution}/output/{stream}?offset=0 HTTP/1.1\r\n\
             host: server\r\nauthorization: Bearer {token}\r\n\r\n"
        );
        self.reader.get_mut().write_all(request.as_bytes()).unwrap();
        let mut length = 0;
        let mut is_complete = false;
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line).unwrap();
            let line = line.trim_end().to_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
            is_complete |= line == "scitq-complete: true";
        }
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).unwrap();
        let shown = String::from_utf8_lossy(&body);
        assert!(is_complete, "the output of execution {execution} is not complete: {shown}");
        body
    }
}
