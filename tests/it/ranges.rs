//! Range requests (RFC 9110 section 14), and files that change while they are sent. Their form
//! on the wire is in `tests/transcripts/ranges`.

use std::fs;
use std::path::{Path, PathBuf};

use dustdevil::Application;
use dustdevil::http::range::{Selection, select};

use crate::resources::{TAG, settings_with_files};
use crate::support::{Client, Reply, Running, serve};

const DIGITS: &str = "0123456789";

#[test]
fn every_range_of_ten_bytes_is_what_it_says() {
    let part = |range: &str| match select(range, 10) {
        Selection::Part(part) => {
            let at = |position: u64| usize::try_from(position).unwrap();
            Some(&DIGITS[at(part.start)..at(part.end)])
        }
        Selection::Unsatisfiable => Some(""),
        Selection::Whole => None,
    };
    for first in 0..13 {
        let rest = DIGITS.get(first..).unwrap_or_default();
        assert_eq!(part(&format!("bytes={first}-")), Some(rest), "{first}-");
        let suffix = &DIGITS[10 - first.min(10)..];
        assert_eq!(part(&format!("bytes=-{first}")), Some(suffix), "-{first}");
        for last in 0..13 {
            let expected = (first <= last)
                .then(|| DIGITS.get(first..=last.min(9)).unwrap_or_default());
            assert_eq!(part(&format!("bytes={first}-{last}")), expected, "{first}-{last}");
        }
    }
}

#[test]
fn no_number_is_too_large_to_be_a_number() {
    let most = u64::MAX;
    for (range, length, selection) in [
        (format!("bytes=0-{most}"), most, Selection::Part(0..most)),
        (format!("bytes=-{most}"), most, Selection::Part(0..most)),
        (format!("bytes={most}-"), most, Selection::Unsatisfiable),
        (format!("bytes={}-{most}", most - 1), most, Selection::Part(most - 1..most)),
        (format!("bytes={most}0-{most}1"), 10, Selection::Unsatisfiable),
        (format!("bytes=9-{}", "9".repeat(5000)), 10, Selection::Part(9..10)),
    ] {
        assert_eq!(select(&range, length), selection, "{range:.40}");
    }
}

#[test]
fn an_empty_file_has_no_satisfiable_range() {
    for range in ["bytes=0-", "bytes=0-0", "bytes=1-", "bytes=-0"] {
        assert_eq!(select(range, 0), Selection::Unsatisfiable, "{range}");
    }
    assert_eq!(select("bytes=-1", 0), Selection::Whole, "the last bytes of nothing are it");
}

/// Returns the fields of a reply without Date and without those that describe a range.
fn fields_of_the_whole(reply: &Reply) -> Vec<(String, String)> {
    let of_the_part = ["Date", "Content-Range", "Content-Length"];
    let fields =
        reply.fields.iter().filter(|(name, _)| !of_the_part.contains(&name.as_str()));
    fields.cloned().collect()
}

#[tokio::test]
async fn a_206_has_every_field_of_the_200() {
    let server = serve(Application::new([], settings_with_files("parts")).unwrap()).await;
    let mut client = server.connect().await;
    for target in ["/static/digits.txt", "/static/page.html", "/static/nobody-knows"] {
        let whole = client.ask(&format!("GET {target}")).await;
        let tag = whole.field("ETag").unwrap();
        for condition in
            [String::new(), format!("\nIf-Range: {tag}"), format!("\nIf-Match: {tag}")]
        {
            let head = format!("GET {target}\nRange: bytes=1-2{condition}");
            let reply = client.ask(&head).await;
            assert_eq!(reply.status, 206);
            assert_eq!(reply.content, whole.content[1..3]);
            assert_eq!(fields_of_the_whole(&reply), fields_of_the_whole(&whole), "{head}");
        }
    }
}

#[tokio::test]
async fn all_ranges_together_are_the_whole_file() {
    let server =
        serve(Application::new([], settings_with_files("together")).unwrap()).await;
    let mut client = server.connect().await;
    let mut together = Vec::new();
    for first in (0..12).step_by(3) {
        let last = first + 2;
        let range = format!("Range: bytes={first}-{last}\nIf-Range: {TAG}");
        let reply = client.ask(&format!("GET /static/digits.txt\n{range}")).await;
        assert_eq!(reply.status, 206, "{range}");
        together.extend(reply.content);
    }
    assert_eq!(together, DIGITS.as_bytes());
}

/// With the validators of the file on it, a cache could store the error page as the file.
#[tokio::test]
async fn a_416_is_about_the_range_and_not_about_the_file() {
    let server = serve(Application::new([], settings_with_files("beyond")).unwrap()).await;
    let mut client = server.connect().await;
    let reply = client.ask("GET /static/digits.txt\nRange: bytes=10-").await;
    assert_eq!((reply.status, reply.field("Content-Range")), (416, Some("bytes */10")));
    for name in ["ETag", "Last-Modified", "Cache-Control"] {
        assert_eq!(reply.field(name), None, "no cache takes the error page for the file");
    }
    assert_eq!(reply.field("Content-Type"), Some("text/html; charset=UTF-8"));
}

const LARGE: usize = 20_000_000;

/// Serves a file that is larger than all buffers between it and the client.
async fn serving_a_large_file(name: &str) -> (Running, PathBuf) {
    let settings = settings_with_files(name);
    let path = settings.static_path.join("large.bin");
    fs::write(&path, vec![b'a'; LARGE]).unwrap();
    (serve(Application::new([], settings).unwrap()).await, path)
}

/// Requests the large file, and reads only the head of the response.
async fn begin(client: &mut Client, fields: &str) -> Reply {
    let head = format!("GET /static/large.bin HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    client.send(head).await;
    client.receive_head().await
}

/// A modification of a file.
type Change = fn(&Path);

/// Changes that a file may undergo while it is sent.
const CHANGES: [(&str, Change); 3] = [
    ("it grows", |path| append(path, b"b")),
    ("it shrinks", |path| open(path).set_len(1_000_000).unwrap()),
    ("it is emptied and written again", |path| fs::write(path, vec![b'b'; LARGE]).unwrap()),
];

/// Removals of the file's name. An open file descriptor still reads the old content.
const REMOVALS: [(&str, Change); 2] = [
    ("replaced by another", |path| {
        let other = path.with_extension("new");
        fs::write(&other, vec![b'b'; LARGE]).unwrap();
        fs::rename(other, path).unwrap();
    }),
    ("it is deleted", |path| fs::remove_file(path).unwrap()),
];

fn open(path: &Path) -> fs::File {
    fs::File::options().write(true).open(path).unwrap()
}

fn append(path: &Path, bytes: &[u8]) {
    use std::io::Write;
    fs::File::options().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

#[tokio::test]
async fn no_mixture_of_two_file_versions_looks_complete() {
    for (number, (what, change)) in CHANGES.into_iter().enumerate() {
        for (fields, length) in [("", LARGE), ("Range: bytes=1-\r\n", LARGE - 1)] {
            let name = format!("change-{number}-{length}");
            let (server, path) = serving_a_large_file(&name).await;
            let mut client = server.connect().await;
            let head = begin(&mut client, fields).await;
            assert_eq!(head.field("Content-Length"), Some(length.to_string().as_str()));
            change(&path);
            let content = client.rest().await;
            let is_one_state = content.iter().all(|&byte| byte == b'a');
            assert!(is_one_state, "{what}: bytes of two states");
            assert!(content.len() < length, "{what}: it looks whole");
            let _ = fs::remove_file(&path);
        }
    }
}

#[tokio::test]
async fn a_file_that_is_removed_while_it_is_sent_arrives_whole() {
    for (number, (what, remove)) in REMOVALS.into_iter().enumerate() {
        let (server, path) = serving_a_large_file(&format!("removal-{number}")).await;
        let mut client = server.connect().await;
        begin(&mut client, "").await;
        remove(&path);
        let content = client.bytes(LARGE).await;
        assert!(content.iter().all(|&byte| byte == b'a'), "{what}");
        let _ = fs::remove_file(&path);
    }
}

/// A client that resumes a download sends `If-Range` with the entity tag of the first part. If
/// the file has changed, it must get the whole file.
#[tokio::test]
async fn a_resumed_download_does_not_mix_two_file_versions() {
    let (server, path) = serving_a_large_file("resumed").await;
    let mut client = server.connect().await;
    let tag = begin(&mut client, "").await.field("ETag").unwrap().to_owned();
    drop(client);
    fs::write(&path, vec![b'b'; LARGE]).unwrap();
    let mut client = server.connect().await;
    let reply =
        begin(&mut client, &format!("Range: bytes=1000-\r\nIf-Range: {tag}\r\n")).await;
    assert_eq!((reply.status, reply.field("Content-Range")), (200, None));
    fs::remove_file(&path).unwrap();
}
