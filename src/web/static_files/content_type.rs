//! Content types of static files, by file name extension.
//!
//! The crate `mime_guess` (2.0.5, without default features) is not used, for two reasons. It
//! brings three packages. And of the 114 extensions that were compared, it has 5 wrong or not at
//! all: `mjs` (JavaScript modules) is `application/javascript`, although RFC 9239 says
//! `text/javascript`; `woff` and `otf` have the types from before RFC 8081 (`font/woff`,
//! `font/otf`); `tgz` is `application/x-compressed`; `zst` (RFC 8878) is unknown.

use std::path::Path;

/// Returns the Content-Type of a file, and its Content-Encoding if it has one. Text types have
/// `charset=UTF-8`. An unknown extension is `application/octet-stream`, which browsers download
/// instead of showing it.
pub(crate) fn content_type(path: &Path) -> (String, Option<&'static str>) {
    let essence = essence(path).unwrap_or("application/octet-stream");
    let is_text = essence.starts_with("text/") || TEXT.contains(&essence);
    let is_svgz = path.extension().is_some_and(|text| text.eq_ignore_ascii_case("svgz"));
    let content_type = format!("{essence}{}", if is_text { "; charset=UTF-8" } else { "" });
    (content_type, is_svgz.then_some("gzip"))
}

/// Returns the media type without parameters (its "essence", WHATWG MIME Sniffing). A linear
/// search of the table is fast enough, because the result is cached with the file.
fn essence(path: &Path) -> Option<&'static str> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    let mut types = TYPES.iter();
    let found = types.find(|(_, all)| all.split(' ').any(|one| one == extension));
    found.map(|&(essence, _)| essence)
}

/// Text types whose name does not begin with `text/`.
const TEXT: [&str; 3] =
    ["application/json", "application/xml", "application/manifest+json"];

/// Media types with their extensions.
const TYPES: &[(&str, &str)] = &[
    // Web pages.
    ("text/html", "html htm shtml"),
    ("text/css", "css"),
    // RFC 9239 section 6: the only name for JavaScript, including modules (.mjs).
    ("text/javascript", "js mjs"),
    ("application/json", "json"),
    ("application/manifest+json", "webmanifest"),
    ("application/wasm", "wasm"),
    ("application/xhtml+xml", "xhtml"),
    ("text/xml", "xml xsd xsl xslt dtd"),
    ("application/rss+xml", "rss"),
    ("application/atom+xml", "atom"),
    ("application/ld+json", "jsonld"),
    // Text.
    ("text/plain", "txt log conf map c h py"),
    ("text/markdown", "md markdown"),
    ("text/csv", "csv"),
    ("text/tab-separated-values", "tsv"),
    ("text/calendar", "ics"),
    ("text/x-vcard", "vcf"),
    ("text/vtt", "vtt"),
    ("text/mathml", "mml"),
    ("text/x-rust", "rs"),
    ("text/x-toml", "toml"),
    ("text/x-yaml", "yaml yml"),
    // Images.
    ("image/svg+xml", "svg svgz"),
    ("image/png", "png"),
    ("image/jpeg", "jpg jpeg jpe jfif"),
    ("image/gif", "gif"),
    ("image/webp", "webp"),
    ("image/avif", "avif"),
    ("image/apng", "apng"),
    ("image/jxl", "jxl"),
    ("image/heic", "heic"),
    ("image/heif", "heif"),
    ("image/x-icon", "ico"),
    ("image/bmp", "bmp"),
    ("image/tiff", "tif tiff"),
    // Fonts.
    ("font/woff2", "woff2"),
    ("font/woff", "woff"),
    ("font/ttf", "ttf"),
    ("font/otf", "otf"),
    ("font/collection", "ttc"),
    ("application/vnd.ms-fontobject", "eot"),
    // Audio.
    ("audio/mpeg", "mp3"),
    ("audio/m4a", "m4a"),
    ("audio/aac", "aac"),
    ("audio/ogg", "ogg oga opus"),
    ("audio/wav", "wav"),
    ("audio/flac", "flac"),
    ("audio/webm", "weba"),
    ("audio/mid", "mid midi"),
    // Video.
    ("video/mp4", "mp4"),
    ("video/x-m4v", "m4v"),
    ("video/webm", "webm"),
    ("video/ogg", "ogv"),
    ("video/mpeg", "mpg mpeg"),
    ("video/quicktime", "mov"),
    ("video/x-matroska", "mkv"),
    ("video/x-msvideo", "avi"),
    ("video/3gpp", "3gp"),
    ("video/vnd.dlna.mpeg-tts", "ts"),
    ("audio/x-mpegurl", "m3u8"),
    ("application/dash+xml", "mpd"),
    // Documents.
    ("application/pdf", "pdf"),
    ("application/epub+zip", "epub"),
    ("application/rtf", "rtf"),
    ("application/postscript", "ps eps ai"),
    ("application/msword", "doc dot"),
    ("application/vnd.ms-excel", "xls"),
    ("application/vnd.ms-powerpoint", "ppt"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
    ("application/vnd.openxmlformats-officedocument.presentationml.presentation", "pptx"),
    ("application/vnd.oasis.opendocument.text", "odt"),
    ("application/vnd.oasis.opendocument.spreadsheet", "ods"),
    ("application/vnd.oasis.opendocument.presentation", "odp"),
    // Archives.
    ("application/zip", "zip"),
    ("application/gzip", "gz tgz"),
    ("application/x-bzip2", "bz2"),
    ("application/x-xz", "xz"),
    ("application/zstd", "zst"),
    ("application/x-tar", "tar"),
    ("application/x-7z-compressed", "7z"),
    ("application/java-archive", "jar war"),
    // 3D models and geodata.
    ("model/gltf+json", "gltf"),
    ("model/gltf-binary", "glb"),
    ("application/geo+json", "geojson"),
];
