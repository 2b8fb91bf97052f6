//! Static files: content, validators, ranges, caching, and paths that are never served.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use dustdevil::{Application, Exchange, Method, RequestHandler, Result, Settings, handler};

use crate::log::lines_with;
use crate::support::{Running, serve, settings};
use crate::webdriver::tell;

/// Creates a directory for one test.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("static").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("sub")).unwrap();
    fs::write(folder.join("site.css"), "0123456789").unwrap();
    fs::write(folder.join("sub/a b.txt"), "in a folder").unwrap();
    fs::write(folder.join("favicon.ico"), "icon").unwrap();
    fs::write(folder.join("robots.txt"), "robots").unwrap();
    fs::write(folder.join(".secret"), "secret").unwrap();
    folder
}

fn application(static_path: &Path) -> Application {
    let static_path = static_path.to_owned();
    let settings = Settings { static_path, ..settings() };
    Application::new([("/url", handler::<UrlHandler>)], settings).unwrap()
}

async fn serving(name: &str) -> (Running, PathBuf) {
    let folder = folder(name);
    (serve(application(&folder)).await, folder)
}

/// Writes the URL of a static file.
struct UrlHandler;

impl RequestHandler for UrlHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let url = exchange.static_url(&exchange.get_argument("path")?).await?;
        exchange.write(url)
    }
}

#[tokio::test]
async fn a_file_comes_with_its_type_and_validators() {
    let (server, folder) = serving("types").await;
    let mut client = server.connect().await;
    let reply = client.ask("GET /static/site.css").await;
    assert_eq!((reply.status, reply.text().as_str()), (200, "0123456789"));
    assert_eq!(reply.field("Content-Type"), Some("text/css; charset=UTF-8"));
    assert_eq!(reply.field("ETag"), Some("\"781e5e245d69b566979b86e28d23f2c7\""));
    assert!(reply.field("Last-Modified").is_some());
    assert_eq!(reply.field("Accept-Ranges"), Some("bytes"));
    assert_eq!(reply.field("Cache-Control"), Some("no-cache"));
    assert_eq!(reply.field("Vary"), None, "no session was asked");
    for (name, content_type) in [
        ("a.html", "text/html; charset=UTF-8"),
        ("a.js", "text/javascript; charset=UTF-8"),
        ("a.mjs", "text/javascript; charset=UTF-8"),
        ("a.json", "application/json; charset=UTF-8"),
        ("a.svg", "image/svg+xml"),
        ("a.png", "image/png"),
        ("a.woff2", "font/woff2"),
        ("a.wasm", "application/wasm"),
        ("a.webp", "image/webp"),
        ("a.avif", "image/avif"),
        ("a.ico", "image/x-icon"),
        ("a.txt", "text/plain; charset=UTF-8"),
        ("a.md", "text/markdown; charset=UTF-8"),
        ("a.xml", "text/xml; charset=UTF-8"),
        ("a.map", "text/plain; charset=UTF-8"),
        ("a.webmanifest", "application/manifest+json; charset=UTF-8"),
        ("a.HTM", "text/html; charset=UTF-8"),
        ("a.tar.gz", "application/gzip"),
        ("a.nobody-knows", "application/octet-stream"),
        ("a.", "application/octet-stream"),
        ("a", "application/octet-stream"),
    ] {
        fs::write(folder.join(name), "x").unwrap();
        let reply = client.ask(&format!("GET /static/{name}")).await;
        assert_eq!(reply.field("Content-Type"), Some(content_type), "{name}");
    }
    let reply = client.ask("GET /static/sub/a%20b.txt").await;
    assert_eq!(reply.text(), "in a folder");
    fs::write(folder.join("empty.txt"), "").unwrap();
    let reply = client.ask("GET /static/empty.txt").await;
    assert_eq!((reply.status, reply.field("Content-Length")), (200, Some("0")));
}

#[tokio::test]
async fn favicon_and_robots_txt_are_at_their_usual_paths() {
    let (server, folder) = serving("mounts").await;
    let mut client = server.connect().await;
    assert_eq!(client.ask("GET /favicon.ico").await.text(), "icon");
    assert_eq!(client.ask("GET /robots.txt").await.text(), "robots");
    fs::remove_file(folder.join("robots.txt")).unwrap();
    drop(server);
    let server = serve(application(&folder)).await;
    assert_eq!(server.visitor().get("/robots.txt").await.status, 404);
}

#[tokio::test]
async fn the_prefix_is_the_same_however_it_is_written() {
    for prefix in ["static", "/static", "static/", "/static/"] {
        let settings = Settings {
            static_path: folder("prefix"),
            static_url_prefix: prefix.to_owned(),
            ..settings()
        };
        let server = serve(Application::new([], settings).unwrap()).await;
        assert_eq!(server.visitor().get("/static/site.css").await.status, 200, "{prefix}");
        assert_eq!(server.visitor().get("/staticsite.css").await.status, 404, "{prefix}");
    }
}

#[tokio::test]
async fn a_client_with_a_current_copy_gets_304() {
    let (server, _) = serving("conditions").await;
    let mut client = server.connect().await;
    let reply = client.ask("GET /static/site.css").await;
    let tag = reply.field("ETag").unwrap().to_owned();
    let date = reply.field("Last-Modified").unwrap().to_owned();
    let earlier = "Sun, 06 Nov 1994 08:49:37 GMT";
    for (fields, status) in [
        (format!("If-None-Match: {tag}"), 304),
        (format!("If-None-Match: W/{tag}"), 304),
        (format!("If-None-Match: \"a,b\", {tag}"), 304),
        (format!("If-None-Match: \"x\"\nIf-None-Match: {tag}"), 304),
        (String::from("If-None-Match: *"), 304),
        (String::from("If-None-Match: \"x\""), 200),
        (format!("If-None-Match: \"x\"\nIf-Modified-Since: {date}"), 200),
        (format!("If-Modified-Since: {date}"), 304),
        (format!("If-Modified-Since: {earlier}"), 200),
        (String::from("If-Modified-Since: yesterday"), 200),
        (format!("If-Match: {tag}"), 200),
        (String::from("If-Match: *"), 200),
        (String::from("If-Match: \"x\""), 412),
        (format!("If-Match: W/{tag}"), 412),
        (format!("If-Unmodified-Since: {date}"), 200),
        (format!("If-Unmodified-Since: {earlier}"), 412),
        (format!("If-Match: {tag}\nIf-Unmodified-Since: {earlier}"), 200),
        (format!("If-Match: {tag}\nIf-None-Match: {tag}"), 304),
    ] {
        let reply = client.ask(&format!("GET /static/site.css\n{fields}")).await;
        assert_eq!(reply.status, status, "{fields}");
        if status == 304 {
            assert_eq!(reply.field("ETag"), Some(tag.as_str()));
            assert_eq!((reply.field("Content-Length"), reply.content.len()), (None, 0));
        }
        let reply = client.ask(&format!("HEAD /static/site.css\n{fields}")).await;
        assert_eq!(reply.status, status, "HEAD {fields}");
    }
}

#[tokio::test]
async fn a_range_of_a_file_can_be_requested() {
    let (server, _) = serving("ranges").await;
    let mut client = server.connect().await;
    for (range, part) in [
        ("bytes=0-3", "0123"),
        ("bytes=8-", "89"),
        ("bytes=-3", "789"),
        ("bytes=-30", "0123456789"),
        ("bytes=5-99", "56789"),
        ("BYTES=9-9", "9"),
        ("bytes=,0-3, ,", "0123"),
    ] {
        let reply = client.ask(&format!("GET /static/site.css\nRange: {range}")).await;
        assert_eq!((reply.status, reply.text().as_str()), (206, part), "{range}");
        let content_range = reply.field("Content-Range").unwrap();
        assert!(content_range.ends_with("/10"), "{content_range}");
    }
    for range in ["bytes=10-", "bytes=10-20", "bytes=-0"] {
        let reply = client.ask(&format!("GET /static/site.css\nRange: {range}")).await;
        assert_eq!(reply.status, 416, "{range}");
        assert_eq!(reply.field("Content-Range"), Some("bytes */10"));
    }
    for range in
        ["bytes=0-1,3-4", "bytes=3-1", "bytes=a-b", "lines=1-2", "bytes", "bytes=-"]
    {
        let reply = client.ask(&format!("GET /static/site.css\nRange: {range}")).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "0123456789"), "{range}");
    }
}

/// `If-Range` (RFC 9110 section 13.1.5) protects a client that already has a part of an older
/// version.
#[tokio::test]
async fn a_range_is_sent_only_if_if_range_matches() {
    let (server, _) = serving("if_range").await;
    let mut client = server.connect().await;
    let reply = client.ask("GET /static/site.css").await;
    let tag = reply.field("ETag").unwrap().to_owned();
    let date = reply.field("Last-Modified").unwrap().to_owned();
    for (condition, status) in [
        (tag.as_str(), 206),
        (date.as_str(), 206),
        ("\"x\"", 200),
        (&format!("W/{tag}"), 200),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 200),
        ("nonsense", 200),
    ] {
        let head = format!("GET /static/site.css\nRange: bytes=0-3\nIf-Range: {condition}");
        assert_eq!(client.ask(&head).await.status, status, "{condition}");
    }
}

#[tokio::test]
async fn head_is_get_without_content() {
    let (server, _) = serving("head").await;
    let mut client = server.connect().await;
    let mut get = client.ask("GET /static/site.css").await.fields;
    let reply = client.ask("HEAD /static/site.css\nRange: bytes=0-3").await;
    assert_eq!(reply.status, 200, "Range counts in GET alone");
    let mut head = reply.fields;
    let not_the_date = |fields: &mut Vec<(String, String)>| {
        fields.retain(|(name, _)| name != "Date");
    };
    not_the_date(&mut get);
    not_the_date(&mut head);
    assert_eq!(get, head);
    let reply = client.ask("DELETE /static/site.css").await;
    assert_eq!((reply.status, reply.field("Allow")), (405, Some("GET, HEAD, OPTIONS")));
}

/// Path traversal: dots, encoded dots and slashes, backslashes and symbolic links that would
/// lead out of the static directory.
#[tokio::test]
async fn nothing_outside_the_directory_and_nothing_hidden_is_ever_served() {
    let (server, folder) = serving("traversal").await;
    let outside = folder.parent().unwrap().join("outside.txt");
    fs::write(&outside, "outside").unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::symlink;
        symlink(&outside, folder.join("link.txt")).unwrap();
        symlink("..", folder.join("up")).unwrap();
        symlink(".secret", folder.join("shown.txt")).unwrap();
        symlink("loop", folder.join("loop")).unwrap();
        symlink("/dev/zero", folder.join("zero")).unwrap();
        symlink("site.css", folder.join("inside.css")).unwrap();
        let pipe = std::process::Command::new("mkfifo").arg(folder.join("pipe")).status();
        assert!(pipe.unwrap().success());
    }
    let mut client = server.connect().await;
    for path in [
        "",
        ".",
        "..",
        "sub",
        "sub/",
        "/site.css",
        "sub//a",
        "../outside.txt",
        "sub/../site.css",
        "%2e%2e/outside.txt",
        "..%2foutside.txt",
        "%2e%2e%2foutside.txt",
        "..%5coutside.txt",
        "..\\outside.txt",
        "%252e%252e/outside.txt",
        "sub%2fa%20b.txt",
        "site.css%00",
        "site.css%00.png",
        ".secret",
        "%2esecret",
        "sub/.secret",
        "link.txt",
        "up/outside.txt",
        "up/site.css/",
        "shown.txt",
        "loop",
        "zero",
        "pipe",
        "site.css/",
        "site.css/x",
        "nothing.txt",
        "c:/windows",
        "site.css::$DATA",
    ] {
        let reply = client.ask(&format!("GET /static/{path}")).await;
        assert_eq!(reply.status, 404, "{path}: {}", reply.text());
    }
    let long = "x".repeat(5000);
    assert_eq!(client.ask(&format!("GET /static/{long}")).await.status, 404);
    assert_eq!(client.ask("GET /static/inside.css").await.status, 200, "a link that stays");
}

/// Cache busting: the URL contains a hash of the content, so a changed file has another URL,
/// and the old one may be cached as `immutable`.
#[tokio::test]
async fn a_versioned_url_may_be_cached_permanently() {
    let (server, folder) = serving("versions").await;
    let mut client = server.connect().await;
    let url = client.ask("GET /url?path=site.css").await.text();
    assert_eq!(url, "/static/site.css?v=781e5e245d69b566979b86e28d23f2c7");
    let forever = Some("public, max-age=31536000, immutable");
    assert_eq!(client.ask(&format!("GET {url}")).await.field("Cache-Control"), forever);
    for other in ["/static/site.css", "/static/site.css?v=", "/static/site.css?v=781e"] {
        let reply = client.ask(&format!("GET {other}")).await;
        assert_eq!((reply.status, reply.field("Cache-Control")), (200, Some("no-cache")));
    }
    let url = client.ask("GET /url?path=sub/a%20b.txt").await.text();
    assert!(url.starts_with("/static/sub/a%20b.txt?v="), "{url}");
    assert_eq!(client.ask(&format!("GET {url}")).await.status, 200);
    assert_eq!(client.ask("GET /url?path=lost.css").await.text(), "/static/lost.css");
    let outside = client.ask("GET /url?path=../Cargo.toml").await.text();
    assert_eq!(outside, "/static/../Cargo.toml", "no version, so nothing was read");
    drop(folder);
}

/// Rewrites a file between requests many times, with content of the same length.
#[tokio::test]
async fn a_file_that_was_rewritten_is_never_served_as_it_was() {
    let (server, folder) = serving("changes").await;
    let mut client = server.connect().await;
    let mut tags = Vec::new();
    for round in 100..300 {
        fs::write(folder.join("site.css"), round.to_string()).unwrap();
        let reply = client.ask("GET /static/site.css").await;
        assert_eq!(reply.text(), round.to_string());
        tags.extend(reply.field("ETag").map(str::to_owned));
    }
    tags.dedup();
    assert_eq!(tags.len(), 200, "each has a tag of its own");
    // Repeats that after the file has been unchanged long enough to be cached.
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let kept = client.ask("GET /static/site.css").await;
    assert_eq!(client.ask("GET /static/site.css").await.text(), kept.text());
    fs::write(folder.join("site.css"), "abc").unwrap();
    assert_eq!(client.ask("GET /static/site.css").await.text(), "abc");
    fs::remove_file(folder.join("site.css")).unwrap();
    assert_eq!(client.ask("GET /static/site.css").await.status, 404);
    fs::write(folder.join("site.css"), "back").unwrap();
    assert_eq!(client.ask("GET /static/site.css").await.text(), "back");
}

/// A process with access to the directory replaces a file by a symbolic link to a secret, and
/// back, in a loop. A check before `open` would sometimes be too early (a time-of-check to
/// time-of-use race).
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_swapped_for_a_link_leaks_nothing() {
    use std::os::unix::fs::symlink;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    let (server, folder) = serving("swapped").await;
    let secret = folder.with_file_name("secret.txt");
    fs::write(&secret, "secret").unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let swapping = {
        let (is_over, folder) = (Arc::clone(&is_over), folder.clone());
        std::thread::spawn(move || {
            let (name, other) = (folder.join("swapped.txt"), folder.join("other.txt"));
            while !is_over.load(Ordering::SeqCst) {
                fs::write(&other, "public").unwrap();
                fs::rename(&other, &name).unwrap();
                symlink("../secret.txt", &other).unwrap();
                fs::rename(&other, &name).unwrap();
            }
        })
    };
    let mut client = server.connect().await;
    let (mut shown, mut hidden) = (0, 0);
    for _ in 0..5000 {
        let reply = client.ask("GET /static/swapped.txt").await;
        assert_ne!(reply.text(), "secret", "after {shown} and {hidden} others");
        match reply.status {
            200 => shown += 1,
            _ => hidden += 1,
        }
    }
    is_over.store(true, Ordering::SeqCst);
    swapping.join().unwrap();
    tell(&format!(
        "files: of 5000 requests in a race with a link, {shown} saw the file, 0 the secret"
    ));
    assert!(shown > 0 && hidden > 0, "{shown} {hidden}");
}

/// Behind a load balancer, a tag that contained an inode number or a time would differ from
/// server to server, and each switch would cost a transfer.
#[tokio::test]
async fn two_servers_with_the_same_file_give_it_the_same_tag() {
    let (one, one_folder) = serving("one").await;
    let (other, other_folder) = serving("other").await;
    let date = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    // Cached in memory, with a hash of the content, and too large for a hash.
    for length in [100, 1_000_000, 5_000_000] {
        for folder in [&one_folder, &other_folder] {
            let path = folder.join("file.bin");
            fs::write(&path, vec![b'a'; length]).unwrap();
            fs::File::options().write(true).open(path).unwrap().set_modified(date).unwrap();
        }
        let request = "HEAD /static/file.bin";
        let tag = one.connect().await.ask(request).await.field("ETag").unwrap().to_owned();
        let twin =
            other.connect().await.ask(request).await.field("ETag").unwrap().to_owned();
        assert_eq!(tag, twin, "{length} bytes");
        // Changing the inode but not the content does not change the tag.
        let path = one_folder.join("file.bin");
        let mut permissions = fs::metadata(&path).unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&path, permissions).unwrap();
        let later =
            one.connect().await.ask(request).await.field("ETag").unwrap().to_owned();
        assert_eq!(tag, later, "{length} bytes");
        fs::remove_file(path).unwrap();
    }
}

#[tokio::test]
async fn a_packed_image_says_how_it_is_packed() {
    let (server, folder) = serving("packed").await;
    fs::write(folder.join("a.svgz"), "packed").unwrap();
    let reply = server.connect().await.ask("GET /static/a.svgz").await;
    assert_eq!(reply.field("Content-Type"), Some("image/svg+xml"));
    assert_eq!(reply.field("Content-Encoding"), Some("gzip"));
    fs::write(folder.join("a.svg"), "plain").unwrap();
    let reply = server.connect().await.ask("GET /static/a.svg").await;
    assert_eq!(reply.field("Content-Encoding"), None);
}

#[cfg(unix)]
#[tokio::test]
async fn a_name_with_a_colon_is_a_name() {
    let (server, folder) = serving("colon").await;
    fs::write(folder.join("12:30.txt"), "half past").unwrap();
    let mut client = server.connect().await;
    assert_eq!(client.ask("GET /static/12:30.txt").await.text(), "half past");
    assert_eq!(client.ask("GET /static/12%3A30.txt").await.text(), "half past");
    let url = client.ask("GET /url?path=12:30.txt").await.text();
    assert_eq!(client.ask(&format!("GET {url}")).await.text(), "half past");
}

/// A growing log may also have been rewritten, and its length does not tell. So the response
/// ends at the announced length; to serve a log, use a handler.
#[tokio::test]
async fn a_file_that_grows_while_it_is_sent_is_cut_off() {
    use std::io::Write;

    let (server, folder) = serving("grows").await;
    let path = folder.join("server.log");
    fs::write(&path, vec![b'a'; 20_000_000]).unwrap();
    let mut client = server.connect().await;
    client.send("GET /static/server.log HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.receive_head().await.status, 200);
    fs::File::options().append(true).open(path).unwrap().write_all(b"a line").unwrap();
    assert!(client.rest().await.len() < 20_000_000);
}

const LARGE: usize = 3_000_000;

fn write_large(folder: &Path) -> Vec<u8> {
    let content: Vec<u8> = (0..LARGE).map(|at| u8::try_from(at % 251).unwrap()).collect();
    fs::write(folder.join("large.bin"), &content).unwrap();
    content
}

#[tokio::test]
async fn a_large_file_arrives_whole_and_in_parts() {
    let (server, folder) = serving("large").await;
    let content = write_large(&folder);
    let mut client = server.connect().await;
    let reply = client.ask("GET /static/large.bin").await;
    assert!(reply.content == content && reply.field("Content-Length") == Some("3000000"));
    let reply = client.ask("GET /static/large.bin\nRange: bytes=299999-2500000").await;
    assert!(reply.status == 206 && reply.content == content[299_999..=2_500_000]);
    let reply = client.ask("GET /static/large.bin\nRange: bytes=-1").await;
    assert_eq!(reply.content, content[LARGE - 1..]);
    let tag = reply.field("ETag").unwrap().to_owned();
    let reply = client.ask(&format!("GET /static/large.bin\nIf-None-Match: {tag}")).await;
    assert_eq!(reply.status, 304);
    assert_eq!(client.ask("HEAD /static/large.bin").await.status, 200);
    assert_eq!(
        client.ask("GET /static/site.css").await.status,
        200,
        "the connection goes on"
    );
}

/// Length and modification time can stay equal while the content changes: dates are coarse, and
/// can be set back. So the entity tag of a file up to 4 MiB is a hash of its content.
#[tokio::test]
async fn a_replaced_file_is_detected_even_with_equal_length_and_date() {
    let (server, folder) = serving("twins").await;
    let mut client = server.connect().await;
    for (name, length) in [("small.bin", 10), ("large.bin", LARGE)] {
        let put = |byte: u8| {
            let path = folder.join(name);
            fs::write(&path, vec![byte; length]).unwrap();
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000))
                .unwrap();
        };
        put(b'a');
        let old = client.ask(&format!("GET /static/{name}")).await;
        put(b'b');
        let new = client.ask(&format!("GET /static/{name}")).await;
        assert_eq!(new.content[0], b'b', "{name}");
        assert_eq!(new.field("Last-Modified"), old.field("Last-Modified"));
        assert_ne!(new.field("ETag"), old.field("ETag"), "{name}");
        // A range with a condition never mixes the old file with the new one.
        let part = |condition: &str| {
            format!("GET /static/{name}\nRange: bytes=5-\nIf-Range: {condition}")
        };
        let (date, tag) = (new.field("Last-Modified").unwrap(), new.field("ETag").unwrap());
        assert_eq!(client.ask(&part(date)).await.status, 200, "{name}");
        assert_eq!(client.ask(&part(tag)).await.status, 206, "{name}");
    }
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_sent_never_looks_whole() {
    let (server, folder) = serving("mixed").await;
    fs::write(folder.join("large.bin"), vec![b'a'; 20_000_000]).unwrap();
    let mut client = server.connect().await;
    client.send("GET /static/large.bin HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let head = client.receive_head().await;
    assert_eq!(head.field("Content-Length"), Some("20000000"));
    // The socket buffers hold a small part of the file, so the rest is read after this change.
    let file = fs::File::options().write(true).open(folder.join("large.bin")).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    assert!(client.rest().await.len() < 20_000_000);
    assert_eq!(server.visitor().get("/static/site.css").await.status, 200);
}

#[test]
fn a_missing_static_directory_is_an_error_at_startup() {
    let settings = Settings { static_path: PathBuf::from("no/such/folder"), ..settings() };
    let error = Application::new([], settings).err().unwrap().to_string();
    assert!(error.contains("no/such/folder"), "{error}");
}

/// As in Tornado: a missing file spoils a link, and not the whole page.
#[tokio::test]
async fn the_url_of_a_missing_file_has_no_version_and_the_log_names_it() {
    let (server, folder) = serving("absent").await;
    let lines = lines_with("absent of a", async {
        let reply = server.visitor().get("/url?path=sub/absent%20of%20a.css").await;
        assert_eq!(
            (reply.status, reply.text().as_str()),
            (200, "/static/sub/absent%20of%20a.css")
        );
    })
    .await;
    assert_eq!(
        lines,
        ["dustdevil::general there is no static file \"sub/absent of a.css\""]
    );
    fs::create_dir_all(folder.join("sub")).unwrap();
    fs::write(folder.join("sub/absent of a.css"), "found").unwrap();
    let reply = server.visitor().get("/url?path=sub/absent%20of%20a.css").await;
    assert!(
        reply.text().starts_with("/static/sub/absent%20of%20a.css?v="),
        "{}",
        reply.text()
    );
    let routes = [("/url", handler::<UrlHandler> as dustdevil::Handler)];
    let server = serve(Application::new(routes, settings()).unwrap()).await;
    assert_eq!(server.visitor().get("/url?path=a").await.status, 500, "no static_path");
}
