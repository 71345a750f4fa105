//! The client against scripted answers and a clock that moves only by waiting.

use super::*;
use crate::connector::fakes::{Answer, Fakes, json, scripted, with_headers};

fn client(fakes: &Fakes) -> Client {
    Client::new(
        "crm",
        "https://api.example.com",
        &BudgetSpec::default(),
        Limits::default(),
        fakes.ports.clone(),
    )
    .unwrap()
}

fn call(method: &str, repeatable: bool) -> Call {
    Call {
        request: HttpRequest {
            method: method.to_owned(),
            url: "https://api.example.com/things".to_owned(),
            headers: vec![("Accept".to_owned(), "application/json".to_owned())],
            body: None,
            timeout: Duration::from_secs(5),
            max_body: 1000,
        },
        attempted: format!("{method} things in crm"),
        purpose: Purpose::Write,
        repeatable,
    }
}

fn lost() -> Answer {
    Err(TransportError::AnswerLost("reset".to_owned()))
}

fn refused() -> Answer {
    Err(TransportError::NotSent("refused".to_owned()))
}

fn sent(fakes: &Fakes) -> usize {
    fakes.transport.seen.lock().unwrap().len()
}

#[tokio::test]
async fn a_lost_answer_of_a_write_is_never_sent_again() {
    let fakes = scripted(vec![lost(), json(200, "{}")]);
    let failure = client(&fakes).call(call("POST", false)).await.unwrap_err();
    assert_eq!((failure.class, failure.applied), (FailureClass::Transient, Applied::Unknown));
    assert_eq!(sent(&fakes), 1);
}

#[tokio::test]
async fn a_server_error_of_a_write_is_unknown_and_of_a_read_is_repeated() {
    let fakes = scripted(vec![json(503, "busy"), json(200, "{}")]);
    let failure = client(&fakes).call(call("POST", false)).await.unwrap_err();
    assert_eq!((failure.class, failure.applied), (FailureClass::Transient, Applied::Unknown));
    assert!(failure.answered.contains("503: busy"), "{failure}");

    let fakes = scripted(vec![json(503, "busy"), lost(), json(200, "{}")]);
    assert_eq!(client(&fakes).call(call("GET", true)).await.unwrap().status, 200);
    assert_eq!(sent(&fakes), 3);
    assert_eq!(fakes.clock.slept.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn what_was_not_sent_may_be_sent_again_even_for_a_write() {
    let fakes = scripted(vec![refused(), refused(), json(201, "{}")]);
    assert_eq!(client(&fakes).call(call("POST", false)).await.unwrap().status, 201);
    let fakes = scripted(vec![refused(), lost(), json(201, "{}")]);
    assert_eq!(client(&fakes).call(call("POST", false)).await.unwrap_err().applied, Applied::Unknown);
    assert_eq!(sent(&fakes), 2);
}

#[tokio::test]
async fn retries_end() {
    let fakes = scripted(vec![]);
    let failure = client(&fakes).call(call("POST", false)).await.unwrap_err();
    assert_eq!((failure.class, failure.applied), (FailureClass::Transient, Applied::No));
    let origin = client(&fakes).origin();
    assert!(failure.answered.contains(&format!("not sent to {origin}: ")), "{}", failure.answered);
    assert_eq!(sent(&fakes), 4);
}

#[tokio::test]
async fn retry_after_in_seconds_pauses_and_sends_the_same_write_again() {
    let fakes = scripted(vec![with_headers(429, "slow", &[("retry-after", "7")]), json(201, "{}")]);
    assert_eq!(client(&fakes).call(call("POST", false)).await.unwrap().status, 201);
    assert_eq!(*fakes.clock.slept.lock().unwrap(), vec![Duration::from_secs(7)]);
    let seen = fakes.transport.seen.lock().unwrap();
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn retry_after_as_a_date_counts_from_the_servers_clock() {
    let headers =
        [("date", "Sat, 21 Nov 2026 15:00:00 GMT"), ("retry-after", "Sat, 21 Nov 2026 15:00:09 GMT")];
    let fakes = scripted(vec![with_headers(429, "", &headers), json(200, "{}")]);
    assert_eq!(client(&fakes).call(call("POST", false)).await.unwrap().status, 200);
    assert_eq!(*fakes.clock.slept.lock().unwrap(), vec![Duration::from_secs(9)]);
}

#[tokio::test]
async fn a_long_pause_fails_at_once_for_everybody_and_says_when() {
    let fakes = scripted(vec![with_headers(429, "", &[("retry-after", "900")]), json(200, "{}")]);
    let client = client(&fakes);
    let failure = client.call(call("POST", false)).await.unwrap_err();
    assert_eq!((failure.class, failure.applied), (FailureClass::Throttled, Applied::No));
    let other = client.call(call("GET", true)).await.unwrap_err();
    assert_eq!(other.retry_after, Some(Duration::from_secs(900)));
    assert_eq!(sent(&fakes), 1);
    assert!(client.status().paused_until.is_some());
    assert!(client.status().speed < 1.0);
}

#[tokio::test]
async fn a_login_page_is_never_data() {
    for answer in [
        with_headers(200, "<!doctype html><title>Log in", &[("content-type", "text/html")]),
        json(200, "  <html>"),
    ] {
        let fakes = scripted(vec![answer, json(200, "{}")]);
        let failure = client(&fakes).call(call("GET", true)).await.unwrap_err();
        assert_eq!(failure.class, FailureClass::Bug);
        assert!(failure.answered.contains("login page"), "{failure}");
        assert_eq!(sent(&fakes), 1);
    }
}

#[tokio::test]
async fn other_origins_get_nothing() {
    let fakes = scripted(vec![json(200, "{}")]);
    for url in [
        "https://evil.example.com/things",
        "http://api.example.com/things",
        "https://api.example.com:8443/things",
        "https://api.example.com@evil.example.com/",
        "https://user@api.example.com/things",
    ] {
        let mut stray = call("GET", true);
        url.clone_into(&mut stray.request.url);
        let failure = client(&fakes).call(stray).await.unwrap_err();
        assert_eq!(failure.class, FailureClass::Bug, "{url}");
    }
    assert_eq!(sent(&fakes), 0);
}

#[test]
fn plain_http_is_for_loopback_only() {
    assert_eq!(Origin::parse("http://127.0.0.1:8080/x").unwrap().text(), "http://127.0.0.1:8080");
    assert_eq!(Origin::parse("https://A.example.com:443/x").unwrap().text(), "https://a.example.com");
    assert!(Origin::parse("http://erp.corp.example").unwrap_err().contains("loopback"));
    assert!(Origin::parse("ftp://x").is_err());
    assert!(Origin::parse("nonsense").is_err());
}

#[tokio::test]
async fn the_servers_clock_is_measured_and_narrowed() {
    let date = |text: &'static str| with_headers(200, "{}", &[("date", text)]);
    let fakes = scripted(vec![
        date("Sat, 21 Nov 2026 12:00:05 GMT"),
        date("Sat, 21 Nov 2026 12:00:06 GMT"),
        date("Sat, 21 Nov 2026 13:00:00 GMT"),
    ]);
    let client = client(&fakes);
    assert_eq!(client.measured_clock_offset(), None);
    client.call(call("GET", true)).await.unwrap();
    let first = client.measured_clock_offset().unwrap();
    assert_eq!((first.offset_ms, first.error_ms), (5500, 501));
    // 400 ms later the second has turned: the offset lies between 5.6 and 6 seconds.
    fakes.ports.clock.sleep(Duration::from_millis(400)).await;
    client.call(call("GET", true)).await.unwrap();
    let second = client.measured_clock_offset().unwrap();
    assert_eq!((second.offset_ms, second.error_ms), (5800, 201));
    // A server clock that jumps is believed at once.
    client.call(call("GET", true)).await.unwrap();
    assert!(client.measured_clock_offset().unwrap().offset_ms > 3_500_000);
}

#[tokio::test]
async fn no_calls_left_in_the_window_pauses_before_the_next_call() {
    let fakes = scripted(vec![
        with_headers(200, "{}", &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "12")]),
        json(200, "{}"),
    ]);
    let client = client(&fakes);
    client.call(call("GET", true)).await.unwrap();
    client.call(call("GET", true)).await.unwrap();
    assert_eq!(*fakes.clock.slept.lock().unwrap(), vec![Duration::from_secs(12)]);
}

#[tokio::test]
async fn a_cancelled_call_frees_its_place() {
    let fakes = scripted(vec![json(200, "{}"), json(200, "{}")]);
    let client = client(&fakes);
    client.pause(Duration::from_secs(30), "test");
    {
        // Polled once: it has joined the queue; then it is dropped.
        tokio::select! {
            biased;
            _ = client.call(call("POST", false)) => panic!("went through a pause"),
            () = std::future::ready(()) => {}
        }
    }
    assert_eq!(client.call(call("GET", true)).await.unwrap().status, 200);
    assert_eq!(client.status().in_flight, 0);
}

#[tokio::test]
async fn a_body_over_the_cap_is_unknown_for_a_write_and_not_repeated() {
    let fakes = scripted(vec![Err(TransportError::TooLarge(1000)), json(200, "{}")]);
    let failure = client(&fakes).call(call("POST", false)).await.unwrap_err();
    assert_eq!((failure.class, failure.applied), (FailureClass::Bug, Applied::Unknown));
    assert_eq!(sent(&fakes), 1);
}

#[tokio::test]
async fn calls_share_one_slot_in_the_order_of_their_purpose() {
    let fakes = scripted((0..6).map(|_| json(200, "{}")).collect());
    let budget = BudgetSpec { per_minute: Some(60), per_day: None, max_in_flight: Some(1) };
    let client =
        Client::new("crm", "https://api.example.com", &budget, Limits::default(), fakes.ports.clone())
            .unwrap();
    let with = |purpose: Purpose, name: &str| {
        let mut call = call("GET", true);
        call.purpose = purpose;
        call.request.url = format!("https://api.example.com/{name}");
        client.call(call)
    };
    let results = tokio::join!(
        with(Purpose::Sweep, "first"),
        with(Purpose::Sweep, "sweep"),
        with(Purpose::Poll, "poll"),
        with(Purpose::Write, "write1"),
        with(Purpose::Write, "write2"),
    );
    assert!(
        results.0.is_ok() && results.1.is_ok() && results.2.is_ok() && results.3.is_ok() && results.4.is_ok()
    );
    let seen = fakes.transport.seen.lock().unwrap();
    let order: Vec<&str> = seen.iter().filter_map(|sent| sent.url.rsplit('/').next()).collect();
    // The first had its turn before anybody else asked.
    assert_eq!(order, ["first", "write1", "write2", "poll", "sweep"]);
    assert_eq!((client.status().calls, client.status().in_flight), (5, 0));
}
