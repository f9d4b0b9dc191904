//! Output of executions: the original has texts, counts characters from 1, and
//! appends without saying where.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawPathParams, State};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::api::output::MAX_READ;
use crate::domain::ExecutionId;
use crate::domain::execution::Stream;

use super::super::http::App;
use super::super::output::Read;
use super::super::store::PlainExecution;
use super::body::{Fields, integer_of};
use super::error::{V1Error, V1Result};
use super::executions::{self, STREAMS};
use super::print::Texts;
use super::{routes, session};

/// Most bytes of one character.
const LONGEST_CHARACTER: u64 = 4;

/// The texts from a place on, of the streams that are wanted.
pub(super) async fn read(
    State(app): State<Arc<App>>,
    parameters: RawPathParams,
    fields: Fields,
) -> V1Result<Json<Map<String, Value>>> {
    let id = ExecutionId(routes::id(&parameters, "id")?);
    executions::find(&app, id).await?;
    let asked = match fields.value("data") {
        None => Fields::default(),
        Some(Value::Object(asked)) => Fields(asked.clone()),
        Some(_) => return Err(V1Error::invalid("data: an object is wanted")),
    };
    let mut texts = Map::new();
    for (stream, name) in STREAMS {
        if !asked.flag(name)?.unwrap_or(true) {
            continue;
        }
        let position = asked.0.get(&format!("{name}_position")).and_then(integer_of).unwrap_or(1);
        let skipped = usize::try_from(position.saturating_sub(1)).unwrap_or(0);
        let text = text_from(&app, id, stream, 0)
            .await?
            .map(|text| if skipped == 0 { text } else { text.chars().skip(skipped).collect() });
        texts.insert(name.to_owned(), json!(text));
    }
    Ok(Json(texts))
}

pub(super) async fn write_output(
    State(app): State<Arc<App>>,
    parameters: RawPathParams,
    fields: Fields,
) -> V1Result<Json<Value>> {
    append(&app, &parameters, &fields, Stream::Stdout).await
}

pub(super) async fn write_error(
    State(app): State<Arc<App>>,
    parameters: RawPathParams,
    fields: Fields,
) -> V1Result<Json<Value>> {
    append(&app, &parameters, &fields, Stream::Stderr).await
}

/// Puts text behind what there is. Text for an execution that is over is dropped,
/// and that is no error: a worker that is told of one hangs for ten minutes.
async fn append(
    app: &App,
    parameters: &RawPathParams,
    fields: &Fields,
    stream: Stream,
) -> V1Result<Json<Value>> {
    let id = ExecutionId(routes::id(parameters, "id")?);
    let text = fields.text("text")?.unwrap_or_default();
    if !text.is_empty() && session::live(app, id).await?.is_some() {
        put(app, id, stream, text).await?;
    }
    Ok(Json(json!({"result": "Ok"})))
}

/// Puts texts in the place of what there is.
pub(super) async fn replace(app: &App, id: ExecutionId, texts: Texts) -> V1Result<()> {
    let kept = Texts {
        output: match &texts.output {
            Some(_) => None,
            None => text_from(app, id, Stream::Stdout, 0).await?,
        },
        error: match &texts.error {
            Some(_) => None,
            None => text_from(app, id, Stream::Stderr, 0).await?,
        },
    };
    app.output.delete(vec![id]).await?;
    for (stream, text) in [
        (Stream::Stdout, texts.output.or(kept.output)),
        (Stream::Stderr, texts.error.or(kept.error)),
    ] {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            put(app, id, stream, text).await?;
        }
    }
    Ok(())
}

/// All output of an execution; none of a stream that was never written to.
pub(super) async fn whole(app: &App, execution: &PlainExecution) -> V1Result<Texts> {
    Ok(Texts {
        output: text_from(app, execution.id, Stream::Stdout, 0).await?,
        error: text_from(app, execution.id, Stream::Stderr, 0).await?,
    })
}

/// The last characters of both streams.
pub(super) async fn tails(app: &App, execution: &PlainExecution, length: u32) -> V1Result<Texts> {
    let sizes = app.output.sizes(execution.id).await?;
    let most = u64::from(length) * LONGEST_CHARACTER;
    let mut texts = Texts::default();
    for (stream, _) in STREAMS {
        let from = sizes.of(stream).saturating_sub(most);
        let tail = text_from(app, execution.id, stream, from).await?.map(|text| {
            let skipped = text.chars().count().saturating_sub(length as usize);
            text.chars().skip(skipped).collect::<String>()
        });
        match stream {
            Stream::Stdout => texts.output = tail,
            Stream::Stderr => texts.error = tail,
        }
    }
    Ok(texts)
}

async fn put(app: &App, id: ExecutionId, stream: Stream, text: String) -> V1Result<()> {
    let v1 = session::served(app)?;
    let Some(lock) = v1.output_lock(id) else { return Err(V1Error::HangUp) };
    let _guard = lock.lock().await;
    let limits = app.store.readers.output_limits(vec![id]).await?;
    let limit = limits.get(&id).and_then(|limit| limit.0);
    let offset = app.output.sizes(id).await?.of(stream);
    app.output.append(id, stream, offset, Bytes::from(text.into_bytes()), limit).await?;
    Ok(())
}

/// What a stream has from an offset on; none if nothing was ever written to it.
/// Bytes that are no text become the sign for that.
async fn text_from(
    app: &App,
    id: ExecutionId,
    stream: Stream,
    mut offset: u64,
) -> V1Result<Option<String>> {
    let mut text = Vec::new();
    loop {
        match app.output.read(id, stream, offset, MAX_READ).await? {
            Read::Bytes { size: 0, .. } => return Ok(None),
            Read::Bytes { bytes, .. } if bytes.is_empty() => break,
            Read::Bytes { bytes, .. } => {
                offset += bytes.len() as u64;
                text.extend_from_slice(&bytes);
            }
            Read::Hole { hole, .. } => {
                let dropped = hole.to - hole.from;
                text.extend_from_slice(format!("\n[{dropped} bytes were not kept]\n").as_bytes());
                offset = hole.to;
            }
        }
    }
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}
