//! .
#[derive(Debug)]
pub struct Client;
#[derive(Debug)]
pub struct ClientError;
