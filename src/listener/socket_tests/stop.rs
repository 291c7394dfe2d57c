//! Draining, aborting and reloading.

use super::*;

async fn over(running: &Running) {
    let over = async {
        while !running.is_over() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(5), over).await.expect("ends");
}

#[tokio::test(flavor = "local")]
async fn draining_answers_what_is_under_way_and_what_is_queued_then_closes() {
    let front = open(&listener(limits()));
    let mut busy = front.connect().await;
    busy.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\na").await.unwrap();
    let mut idle = front.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    read_until(&mut idle, "got 0").await;
    let mut silent = front.connect().await;
    while front.running.open() < 3 {
        tokio::task::yield_now().await;
    }
    // In the kernel's queue: nothing is awaited before the drain.
    let mut queued = std::net::TcpStream::connect(front.address).unwrap();
    std::io::Write::write_all(&mut queued, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    front.running.drain();
    queued.set_nonblocking(true).unwrap();
    let mut queued = TcpStream::from_std(queued).unwrap();
    assert_eq!(read_all(&mut idle).await, "");
    assert_eq!(read_all(&mut silent).await, "");
    assert!(read_all(&mut queued).await.ends_with("got 0"), "who had a connection is answered");
    assert_eq!(front.running.open(), 1);
    busy.write_all(b"bc").await.unwrap();
    let text = read_all(&mut busy).await;
    assert!(text.contains("connection: close") && text.ends_with("got 3"), "{text}");
    over(&front.running).await;
    assert!(TcpStream::connect(front.address).await.is_err(), "the socket is closed");
    assert_eq!(front.running.abort(), 0, "nothing was left to cut");
}

#[tokio::test(flavor = "local")]
async fn a_request_on_its_way_to_a_warm_connection_is_answered_while_draining() {
    let front = open(&listener(limits()));
    let mut warm = front.connect().await;
    for _ in 0..2 {
        warm.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        read_until(&mut warm, "got 0").await;
    }
    front.running.drain();
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
    warm.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let text = read_all(&mut warm).await;
    assert!(text.contains("connection: close") && text.ends_with("got 0"), "{text}");
    over(&front.running).await;
}

#[tokio::test(flavor = "local")]
async fn a_request_of_which_half_a_head_is_there_is_answered_while_draining() {
    for warm in [false, true] {
        let front = open(&listener(limits()));
        let mut client = front.connect().await;
        if warm {
            client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
            read_until(&mut client, "got 0").await;
        }
        client.write_all(b"GET / HTTP/1.1\r\nho").await.unwrap();
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        front.running.drain();
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        client.write_all(b"st: a\r\n\r\n").await.unwrap();
        let text = read_all(&mut client).await;
        assert!(text.ends_with("got 0"), "warm {warm}: {text:?}");
        over(&front.running).await;
    }
}

#[tokio::test(flavor = "local")]
async fn aborting_cuts_what_is_left_and_counts_it() {
    let front = open(&listener(limits()));
    let mut busy = front.connect().await;
    busy.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\na").await.unwrap();
    while front.running.open() < 1 {
        tokio::task::yield_now().await;
    }
    front.running.drain();
    assert_eq!(front.running.abort(), 1);
    over(&front.running).await;
    assert_eq!(front.running.open(), 0);
    assert_eq!(front.shared.open(), 0);
}

#[tokio::test(flavor = "local")]
async fn settings_are_replaced_without_rebinding() {
    let front = open(&listener(limits()));
    let mut changed = listener(limits());
    changed.limits.max_target_bytes = 3;
    front.shared.replace(Settings::load(ListenerId(0), &changed, Some(&front.shared.settings())).unwrap());
    let text = front.converse(b"GET /long HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(text.starts_with("HTTP/1.1 414"), "{text}");
}
