//! Docker checks: a program run inside a container, asked for over the engine's socket.

use std::time::Duration;

use bytes::Bytes;
use crs_types::CheckStatus;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixStream;

use crate::checks::Outcome;
use crate::checks::decision::Tail;

const SOCKET: &str = "/var/run/docker.sock";
/// An answer of the engine, other than output, is far smaller.
const REPLY_MAX_BYTES: u64 = 1 << 20;

pub(super) async fn run(
    container: &str,
    shell: &str,
    args: &[String],
    timeout: Duration,
    output_max: usize,
) -> Outcome {
    match tokio::time::timeout(timeout, exec(container, shell, args, output_max)).await {
        Err(_) => Outcome::critical(format!("timed out running a check in container {container}")),
        Ok(Err(text)) => Outcome::critical(text),
        Ok(Ok((code, output))) => {
            let status = match code {
                0 => CheckStatus::Passing,
                1 => CheckStatus::Warning,
                _ => CheckStatus::Critical,
            };
            Outcome { status, output }
        }
    }
}

/// With a shell the arguments are one line for it; without, they are the program (Consul's rule).
fn command(shell: &str, args: &[String]) -> Vec<String> {
    if shell.is_empty() {
        return args.to_vec();
    }
    vec![shell.to_owned(), "-c".to_owned(), args.join(" ")]
}

async fn exec(
    container: &str,
    shell: &str,
    args: &[String],
    output_max: usize,
) -> Result<(i64, String), String> {
    if container.is_empty() || container.contains(['/', '?', '#', ' ']) {
        return Err(format!("create exec failed for container {container}: invalid container id"));
    }
    let create = json!({"AttachStdout": true, "AttachStderr": true, "Cmd": command(shell, args)});
    let path = format!("/containers/{container}/exec");
    let (status, reply) = call(Method::POST, &path, Some(create), REPLY_MAX_BYTES as usize)
        .await
        .map_err(|text| format!("create exec failed for container {container}: {text}"))?;
    let made: Value = serde_json::from_str(&reply.text()).unwrap_or(Value::Null);
    let Some(id) = made["Id"].as_str().filter(|_| status == StatusCode::CREATED) else {
        let text = reply.text();
        return Err(format!("create exec failed for container {container}: status code {status}: {text}"));
    };
    let start = json!({"Detach": false, "Tty": true});
    let (status, output) = call(Method::POST, &format!("/exec/{id}/start"), Some(start), output_max)
        .await
        .map_err(|text| format!("start exec failed for container {container}: {text}"))?;
    if !status.is_success() {
        let text = output.text();
        return Err(format!("start exec failed for container {container}: status code {status}: {text}"));
    }
    let (_, inspected) = call(Method::GET, &format!("/exec/{id}/json"), None, REPLY_MAX_BYTES as usize)
        .await
        .map_err(|text| format!("inspect exec failed for container {container}: {text}"))?;
    let inspected: Value = serde_json::from_str(&inspected.text()).unwrap_or(Value::Null);
    let code = inspected["ExitCode"].as_i64();
    let code = code.ok_or_else(|| format!("inspect exec failed for container {container}: no exit code"))?;
    Ok((code, output.labelled()))
}

async fn call(
    method: Method,
    path: &str,
    body: Option<Value>,
    keep: usize,
) -> Result<(StatusCode, Tail), String> {
    let stream = UnixStream::connect(SOCKET)
        .await
        .map_err(|error| format!("dial unix {SOCKET}: connect: {}", super::tcp::reason(&error)))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let driver = tokio::spawn(async move { _ = connection.await });
    let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "docker")
        .header("content-type", "application/json")
        .body(Full::new(body))
        .map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let status = response.status();
    let mut body = response.into_body();
    let mut tail = Tail::new(keep);
    while tail.total() < REPLY_MAX_BYTES
        && let Some(Ok(frame)) = body.frame().await
    {
        if let Some(data) = frame.data_ref() {
            tail.push(data);
        }
    }
    driver.abort();
    Ok((status, tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_takes_the_arguments_as_one_line() {
        let args = ["ls".to_owned(), "/".to_owned()];
        assert_eq!(command("", &args), args);
        assert_eq!(command("/bin/bash", &args), ["/bin/bash", "-c", "ls /"]);
    }
}
