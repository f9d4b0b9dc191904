//! Azure's word to its machines that it takes them away: their scheduled events.

use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Where a machine of Azure, and nobody else, can ask.
pub(super) const ADDRESS: &str = "169.254.169.254:80";

/// A longer answer is none of Azure's.
const MOST_BYTES: u64 = 256 << 10;

#[derive(Debug, Deserialize)]
struct Schedule {
    #[serde(rename = "Events", default)]
    events: Vec<Event>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    #[serde(rename = "EventType")]
    kind: String,
    /// Names of machines.
    #[serde(default)]
    resources: Vec<String>,
    /// A date; empty once it is under way.
    #[serde(default)]
    not_before: String,
}

/// Why this machine goes, if it does.
pub(super) async fn said_by_azure(address: &str, limit: Duration) -> Option<String> {
    let answer = tokio::time::timeout(limit, ask(address)).await.ok()?.ok()?;
    let node = rustix::system::uname();
    reason_in(&answer, &node.nodename().to_string_lossy())
}

async fn ask(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    // Of the first version of HTTP, so that the answer comes in one piece and ends.
    let request = format!(
        "GET /metadata/scheduledevents?api-version=2020-07-01 HTTP/1.0\r\nHost: {address}\r\nMetadata: true\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(MOST_BYTES).read_to_string(&mut answer).await?;
    Ok(answer)
}

fn reason_in(answer: &str, machine: &str) -> Option<String> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    if head.split_whitespace().nth(1) != Some("200") {
        return None;
    }
    let schedule: Schedule = serde_json::from_str(body).ok()?;
    let concerns = |event: &&Event| {
        let is_ours = event.resources.iter().any(|name| name.eq_ignore_ascii_case(machine));
        event.kind == "Preempt" && (is_ours || event.resources.is_empty())
    };
    let event = schedule.events.iter().find(concerns)?;
    Some(match event.not_before.as_str() {
        "" => "Azure takes it away now".to_owned(),
        date => format!("Azure takes it away: {date}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(events: &str) -> Option<String> {
        let answer = format!(
            "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{{\"DocumentIncarnation\": 2, \"Events\": [{events}]}}"
        );
        reason_in(&answer, "lab-node1")
    }

    #[test]
    fn only_a_preemption_of_this_machine_counts() {
        let event = |kind: &str, name: &str, date: &str| {
            format!(
                r#"{{"EventId": "1", "EventType": "{kind}", "ResourceType": "VirtualMachine",
                "Resources": ["{name}"], "EventStatus": "Scheduled", "NotBefore": "{date}"}}"#
            )
        };
        assert_eq!(told(""), None);
        assert_eq!(told(&event("Reboot", "lab-node1", "")), None);
        assert_eq!(told(&event("Preempt", "lab-node2", "")), None);
        let date = "Mon, 19 Sep 2026 18:29:47 GMT";
        let both =
            [event("Freeze", "lab-node1", ""), event("Preempt", "LAB-node1", date)].join(",");
        assert_eq!(told(&both), Some(format!("Azure takes it away: {date}")));
        assert_eq!(
            told(&event("Preempt", "lab-node1", "")),
            Some("Azure takes it away now".to_owned())
        );
        assert_eq!(reason_in("HTTP/1.0 404 Not Found\r\n\r\n{\"Events\": []}", "lab-node1"), None);
        assert_eq!(reason_in("nonsense", "lab-node1"), None);
    }
}
