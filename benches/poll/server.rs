//! The API that both programs read: a child process, so that its work is not counted. It answers pages that
//! were rendered before anybody asked, and nothing else. It must not know who asks.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

/// The first id; ids are numbers of one length, so that their order as text is their order as numbers.
pub const FIRST_ID: usize = 10_000_000;

/// What stands in `/prepare`: how many records, how many a page, and which round of changes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Records.
    pub records: usize,
    /// Records a page.
    pub size: usize,
    /// Each round changes one record in a hundred.
    pub round: usize,
}

/// A running server.
pub struct Server {
    child: Child,
    /// `http://127.0.0.1:PORT`.
    pub base: String,
}

impl Server {
    /// Starts this same program as a server.
    pub fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().expect("own path"))
            .arg("--serve")
            .stdout(Stdio::piped())
            .stdin(Stdio::piped())
            .spawn()
            .expect("start the server");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("its address");
        Self { child, base: line.trim().to_owned() }
    }

    /// Renders the pages that the next polls will read.
    pub fn prepare(&self, shape: Shape) {
        let address = self.base.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).expect("connect");
        let Shape { records, size, round } = shape;
        write!(stream, "GET /prepare?records={records}&size={size}&round={round} HTTP/1.1\r\n\r\n")
            .expect("ask");
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("answer");
        assert!(line.contains("200"), "the server answered {line}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It ends by itself when its input closes; waiting only keeps the process table tidy.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The child's main function: serves until its input closes.
pub fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    println!("http://{}", listener.local_addr().expect("address"));
    let pages: Arc<Mutex<Arc<Vec<Vec<u8>>>>> = Arc::default();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let pages = Arc::clone(&pages);
            std::thread::spawn(move || answer(&stream, &pages));
        }
    });
    let mut nothing = String::new();
    let _ = std::io::stdin().read_line(&mut nothing);
}

fn answer(stream: &TcpStream, pages: &Mutex<Arc<Vec<Vec<u8>>>>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request).ok()? == 0 {
            return None;
        }
        let mut header = String::new();
        while reader.read_line(&mut header).ok()? > 2 {
            header.clear();
        }
        let target = request.split(' ').nth(1)?;
        let number = |name: &str| {
            let query = target.split_once('?').map_or("", |(_, query)| query);
            let found = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            found.and_then(|text| text.parse::<usize>().ok())
        };
        let mut writer = stream;
        if target.starts_with("/prepare") {
            let shape = Shape { records: number("records")?, size: number("size")?, round: number("round")? };
            *pages.lock().expect("pages") = Arc::new(render(shape));
            writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()?;
            continue;
        }
        let pages = Arc::clone(&pages.lock().expect("pages"));
        let size = number("size")?;
        let page = number("after").map_or(0, |after| (after + 1 - FIRST_ID) / size);
        let empty = br#"{"records":[]}"#.to_vec();
        let body = pages.get(page).unwrap_or(&empty);
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        // One write: two small ones would measure the kernel's delayed acknowledgements.
        writer.write_all(&[head.as_bytes(), body].concat()).ok()?;
    }
}

fn render(shape: Shape) -> Vec<Vec<u8>> {
    let mut pages = Vec::new();
    let mut start = 0;
    while start < shape.records {
        let end = (start + shape.size).min(shape.records);
        let items: Vec<String> = (start..end).map(|number| record(number, shape.round)).collect();
        pages.push(format!("{{\"records\":[{}]}}", items.join(",")).into_bytes());
        start = end;
    }
    pages
}

/// One record as an ERP would show it, 1,284 bytes.
pub fn record(number: usize, round: usize) -> String {
    // Round r changes the records whose number ends in r - 1 (of a hundred), and only those.
    let revision = (round + 99 - number % 100) / 100;
    let mut text = format!(
        concat!(
            r#"{{"id":"{id}","type":"salesOrder","number":"SO-{number:08}","customer":{{"id":"{customer}","name":"Customer {customer:06} GmbH & Co. KG"}},"#,
            r#""status":"{status}","currency":"EUR","total":{total}.{cents:02},"tax":{tax}.50,"open":{open},"priority":{priority},"#,
            r#""orderDate":"2026-{month:02}-{day:02}","shipDate":"2026-12-{day:02}","memo":"Order {number} of the autumn campaign, revision {revision}","#,
            r#""owner":"person{owner:03}@corp.example","approved":{approved},"updatedAt":"2026-11-{updated:02}T10:00:00Z","#
        ),
        id = FIRST_ID + number,
        number = number,
        customer = number * 7 % 100_000,
        status = ["pending", "approved", "shipped", "closed"][number % 4],
        total = 1000 + number % 90_000,
        cents = number % 100,
        tax = number % 700,
        open = number.is_multiple_of(3),
        priority = number % 5,
        month = 1 + number % 12,
        day = 1 + number % 28,
        revision = revision,
        owner = number % 250,
        approved = number.is_multiple_of(2),
        updated = 1 + revision % 28,
    );
    text.push_str(r#""lines":["#);
    for line in 0..3 {
        text.push_str(&format!(
            r#"{{"line":{line},"item":"ITEM-{:05}","quantity":{},"rate":{}.25,"description":"Steel bracket, galvanised"}},"#,
            (number + line) % 50_000,
            1 + (number + line) % 90,
            10 + (number + line) % 500
        ));
    }
    text.pop();
    text.push_str(r#"],"notes":""#);
    // Filled up to the size that the older measurements used.
    while text.len() < 1282 {
        text.push_str("lorem ipsum dolor sit amet ".get(..(1282 - text.len()).min(27)).unwrap_or("x"));
    }
    text.push_str("\"}");
    text
}
