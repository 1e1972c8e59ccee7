//! Servers that do not keep to what a server should do, on this machine and without TLS.

use super::*;
use std::net::Ipv4Addr;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

const LIMITS: Limits = Limits { timeout: Duration::from_secs(20), body_len_max: 1000 };

/// Sends one request to a server that answers with these bytes and then keeps the connection open.
async fn ask(answer: impl Into<Vec<u8>>, limits: Limits) -> Result<Answer, Unanswered> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let to = format!("http://{}/in", listener.local_addr().expect("an address"));
    let answer = answer.into();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut asked = vec![0; 4096];
        let _ = stream.read(&mut asked).await;
        let _ = stream.write_all(&answer).await;
        let _ = stream.read_to_end(&mut asked).await;
    });
    let way = Outbound::new(to.parse().expect("an address"), &Authorities::Machine).expect("no TLS, no authorities");
    let answered = way.send(Request::new(Full::default()), limits).await;
    serving.abort();
    answered
}

#[tokio::test]
async fn takes_an_answer_that_is_whole() {
    let answer = ask("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", LIMITS).await.expect("an answer");
    assert_eq!((answer.status, answer.body.as_deref()), (StatusCode::OK, Some(&b"hello"[..])));
}

#[tokio::test]
async fn gives_up_on_a_server_that_says_nothing_or_does_not_come_to_its_end() {
    let brief = Limits { timeout: Duration::from_millis(50), ..LIMITS };
    for answer in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel"] {
        assert!(matches!(ask(answer, brief).await, Err(Unanswered::TooLate(_))), "{answer:?}");
    }
}

#[tokio::test]
async fn takes_no_more_of_a_body_than_it_may_however_long_it_says_it_is() {
    let long = [b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n".as_slice(), &[b'a'; 1001]].concat();
    let chunked =
        [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffff\r\n".as_slice(), &[b'a'; 65_535]].concat();
    for answer in [long, chunked] {
        let answer = ask(answer, LIMITS).await.expect("an answer");
        assert_eq!((answer.status, answer.body), (StatusCode::OK, None));
    }
}

#[tokio::test]
async fn refuses_what_is_not_http_and_heads_without_end() {
    let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "a".repeat(64 * 1024));
    for answer in ["SSH-2.0-sshd\r\n", endless.as_str()] {
        assert!(matches!(ask(answer, LIMITS).await, Err(Unanswered::Http(_))));
    }
}

#[tokio::test]
async fn says_that_nobody_listens() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let to = format!("http://{}/in", listener.local_addr().expect("an address"));
    drop(listener);
    let way = Outbound::new(to.parse().expect("an address"), &Authorities::Machine).expect("no TLS, no authorities");
    let refused = way.send(Request::new(Full::default()), LIMITS).await.expect_err("nobody");
    assert!(causes(&refused).starts_with("there is no connection: "), "{}", causes(&refused));
}
