//! The link against a server that the test plays.

use tokio::net::TcpListener;
use tokio::sync::mpsc::{channel, unbounded_channel};

use super::*;

struct Bench {
    listener: TcpListener,
    frames: UnboundedSender<ToLink>,
    events: UnboundedReceiver<Event>,
}

impl Bench {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap().to_string().parse().unwrap();
        let (frames, outgoing) = unbounded_channel();
        let (happened, events) = unbounded_channel();
        let channels = Channels { frames: outgoing, output: channel(1).1, events: happened };
        let patience = Patience { silence: Duration::from_millis(50), ..Patience::default() };
        tokio::spawn(Link::new(server, Tokens::new(None, None), patience, channels).run());
        Self { listener, frames, events }
    }

    async fn accept(&mut self) -> Socket {
        let (stream, _) = self.listener.accept().await.unwrap();
        let stream: Box<dyn Carrier> = Box::new(stream);
        tokio_tungstenite::accept_async(stream).await.unwrap()
    }

    /// The next event that is about the link itself.
    async fn event(&mut self) -> (u64, bool) {
        match self.events.recv().await.unwrap() {
            Event::LinkUp { link } => (link, true),
            Event::LinkDown { link } => (link, false),
            other => panic!("{other:?}"),
        }
    }
}

fn reports(number: u64) -> Up {
    Up::Reports { number, reports: Vec::new() }
}

#[tokio::test]
async fn a_silent_link_is_given_up_and_dialled_again() {
    let mut bench = Bench::start().await;
    let _silent = bench.accept().await;
    assert_eq!(bench.event().await, (1, true));
    assert_eq!(bench.event().await, (1, false));
    let _silent = bench.accept().await;
    assert_eq!(bench.event().await, (2, true));
}

#[tokio::test]
async fn frames_for_a_link_that_is_gone_are_not_sent() {
    let mut bench = Bench::start().await;
    drop(bench.accept().await);
    assert_eq!(bench.event().await, (1, true));
    assert_eq!(bench.event().await, (1, false));
    bench.frames.send(ToLink::Frame { link: 1, frame: reports(1) }).unwrap();
    let mut socket = bench.accept().await;
    assert_eq!(bench.event().await, (2, true));
    bench.frames.send(ToLink::Frame { link: 1, frame: reports(2) }).unwrap();
    bench.frames.send(ToLink::Frame { link: 2, frame: reports(3) }).unwrap();
    let text = socket.next().await.unwrap().unwrap().into_text().unwrap();
    assert_eq!(serde_json::from_str::<Up>(&text).unwrap(), reports(3));
}

#[tokio::test]
async fn an_agent_that_leaves_sends_what_is_queued_and_closes() {
    let mut bench = Bench::start().await;
    let mut socket = bench.accept().await;
    assert_eq!(bench.event().await, (1, true));
    bench.frames.send(ToLink::Frame { link: 1, frame: reports(1) }).unwrap();
    drop(bench.frames);
    assert!(socket.next().await.unwrap().unwrap().is_text());
    assert!(socket.next().await.unwrap().unwrap().is_close());
}
