//! The client against a server that answers by script.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;

use super::testing::{Answer, Script, header, ok};
use super::*;
use crate::api::ErrorCode;
use crate::api::output::ReadOutput;
use crate::api::task::{CreateTasks, ListTasks, TaskIds, WaitForTasks};
use crate::domain::execution::Stream;
use crate::domain::{ExecutionId, TaskId};

fn one_task() -> CreateTasks {
    serde_json::from_str(r#"{"tasks":[{"command":"true"}]}"#).unwrap()
}

fn created() -> Answer {
    Answer::Say("201 Created", r#"{"ids":[7]}"#.into())
}

fn unavailable() -> Answer {
    let body = r#"{"code":"unavailable","message":"the disk is full","request_id":"r"}"#;
    Answer::Say("503 Service Unavailable", body.into())
}

#[tokio::test]
async fn a_change_that_lost_its_answer_is_sent_again_under_the_same_key() {
    let server = Script::start(vec![Answer::HangUp, Answer::HangUp, created(), created()]).await;
    let client = server.client(Patience::default());
    assert_eq!(client.create_tasks(&one_task()).await.unwrap().ids, [TaskId(7)]);
    client.create_tasks(&one_task()).await.unwrap();
    let requests = server.requests();
    let keys: Vec<_> = requests.iter().map(|r| header(r, "idempotency-key").unwrap()).collect();
    assert_eq!(keys[0].len(), 32);
    assert_eq!(keys[..2], keys[1..3]);
    assert_ne!(keys[2], keys[3]);
}

#[tokio::test]
async fn a_request_is_what_the_contract_says() {
    let server = Script::start(vec![
        created(),
        ok(r#"{"tasks":[]}"#),
        ok(r#"{"done":true,"states":{}}"#),
        Answer::Say("204 No Content", String::new()),
    ])
    .await;
    let client = server.client(Patience::default());
    client.create_tasks(&one_task()).await.unwrap();
    let query =
        ListTasks { batch: Some("a b&c".parse().unwrap()), limit: Some(3), ..ListTasks::default() };
    client.list_tasks(&query).await.unwrap();
    let wait = WaitForTasks { ids: vec![TaskId(1)], timeout_seconds: 60 };
    assert!(client.wait_for_tasks(&wait).await.unwrap().done);
    client.delete_worker(crate::domain::WorkerId(3)).await.unwrap();
    let lines: Vec<String> =
        server.requests().iter().map(|r| r.lines().next().unwrap().to_owned()).collect();
    assert_eq!(
        lines,
        [
            "POST /api/v2/tasks HTTP/1.1",
            "GET /api/v2/tasks?batch=a+b%26c&sort=id&reverse=false&limit=3 HTTP/1.1",
            "POST /api/v2/tasks/wait HTTP/1.1",
            "DELETE /api/v2/workers/3 HTTP/1.1",
        ]
    );
    let first = &server.requests()[0];
    assert_eq!(header(first, "authorization"), Some("Bearer secret"));
    assert_eq!(header(first, "content-type"), Some("application/json"));
    assert!(first.ends_with(r#"{"tasks":[{"command":"true","batch":"Default"}]}"#));
    assert_eq!(header(&server.requests()[2], "idempotency-key"), None);
}

#[tokio::test]
async fn output_comes_with_its_place_in_the_stream() {
    let headers = "scitq-offset: 5\r\nscitq-size: 12\r\nscitq-complete: true\r\n";
    let server = Script::start(vec![Answer::With(headers.into(), "abcdefg".into()), ok("x")]).await;
    let client = server.client(Patience::default());
    let read = || client.read_output(ExecutionId(9), Stream::Stderr, ReadOutput::default());
    let piece = read().await.unwrap();
    assert_eq!((piece.offset, piece.end(), piece.is_last()), (5, 12, true));
    assert_eq!(
        read().await.unwrap_err().to_string(),
        format!(
            "http://{} does not answer as scitq does: the header `scitq-offset` is missing",
            server.address
        )
    );
    let line = server.requests()[0].lines().next().unwrap().to_owned();
    assert_eq!(line, "GET /api/v2/executions/9/output/stderr?offset=0 HTTP/1.1");
}

#[tokio::test]
async fn each_refusal_is_told_as_what_it_is() {
    let server = Script::start(vec![
        Answer::Say(
            "404 Not Found",
            r#"{"code":"not-found","message":"there is no task 4"}"#.into(),
        ),
        Answer::Say(
            "401 Unauthorized",
            r#"{"code":"unauthenticated","message":"no token"}"#.into(),
        ),
        Answer::Say("404 Not Found", "<html>nginx</html>".into()),
        ok("<html>hello</html>"),
        unavailable(),
    ])
    .await;
    let client = server.client(Patience::default());
    let refused = || async { client.task(TaskId(4)).await.unwrap_err() };
    assert!(refused().await.is_refused_as(ErrorCode::NotFound));
    assert!(matches!(refused().await, ClientError::Unauthenticated { .. }));
    let error = refused().await.to_string();
    assert!(error.ends_with("does not answer as scitq does: status 404 Not Found"), "{error}");
    assert!(matches!(refused().await, ClientError::Protocol { .. }));
    assert!(refused().await.is_refused_as(ErrorCode::Unavailable));
}

#[tokio::test]
async fn an_absent_server_is_an_error_at_once() {
    // A port that was free a moment ago.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let config = ClientConfig { address: address.parse().unwrap(), ..ClientConfig::default() };
    let error = Client::new(config).unwrap().server_status().await.unwrap_err();
    let message = format!("cannot reach scitq at http://{address}: connection refused");
    assert_eq!(error.to_string(), message);
}

#[tokio::test]
async fn with_patience_a_server_that_cannot_at_the_moment_is_waited_for() {
    let server = Script::start(vec![unavailable(), unavailable(), created()]).await;
    let told = Arc::new(AtomicUsize::new(0));
    let heard = Arc::clone(&told);
    let notice = move |error: &ClientError| {
        assert_eq!(error.to_string(), "the disk is full");
        heard.fetch_add(1, Ordering::Relaxed);
    };
    let patience = Patience { limit: None, notice: Some(Arc::new(notice)) };
    let changed = server
        .client(patience)
        .cancel_tasks(&TaskIds { ids: vec![TaskId(7)], unfit: crate::api::task::Unfit::Refuse })
        .await;
    assert_eq!(changed.unwrap().ids, [TaskId(7)]);
    assert_eq!(told.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn patience_ends() {
    let server = Script::deciding(|_| unavailable()).await;
    let patience = Patience { limit: Some(Duration::from_millis(100)), notice: None };
    let error = server.client(patience).task(TaskId(1)).await.unwrap_err();
    assert!(error.is_transient());
    assert!(server.requests().len() > 1);
}

#[test]
fn a_token_does_not_show() {
    let config = ClientConfig { token: Some("secret".into()), ..ClientConfig::default() };
    assert!(!format!("{config:?}").contains("secret"));
    assert!(!format!("{:?}", Client::new(config).unwrap()).contains("secret"));
}
