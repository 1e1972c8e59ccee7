//! The tools over HTTP. By now the call is decided on; what it is stands in the request's extensions.

use crate::files::{Done, Files};
use ::http::{HeaderValue, Request, Response, StatusCode, header};
use bytes::Bytes;
use crumb_sdk::protect::CheckedBody;
use crumb_token::Ask;
use http_body_util::Full;
use serde_json::{Value, json};
use std::convert::Infallible;

/// Answers one request that the layer let through: an allowed call, or the health probe, which asks for nothing.
pub(crate) async fn answer(files: Files, request: Request<CheckedBody>) -> Result<Response<Full<Bytes>>, Infallible> {
    let Some(ask) = request.extensions().get::<Ask>() else {
        return Ok(write(StatusCode::OK, &json!({ "status": "ok" })));
    };
    Ok(match files.perform(ask) {
        Ok(done) => write(StatusCode::OK, &to_json(done)),
        Err(why) => write(StatusCode::NOT_FOUND, &json!({ "error": why.to_string() })),
    })
}

fn to_json(done: Done) -> Value {
    match done {
        Done::Found(matches) => {
            let matches: Vec<_> =
                matches.into_iter().map(|(path, line)| json!({ "path": path, "line": line })).collect();
            json!({ "matches": matches })
        }
        Done::Read(path, content) => json!({ "path": path, "content": content }),
        Done::Deleted(path) => json!({ "deleted": path }),
    }
}

fn write(status: StatusCode, json: &Value) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::from(json.to_string()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
