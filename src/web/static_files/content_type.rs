//! What a file is, by the end of its name. The table has what sites are made of.

use std::path::Path;

/// The Content-Type of a file, and its Content-Encoding if it has one. Text is taken to be
/// UTF-8. Of what is not in the table, nobody can say what it is, and browsers do not show it.
pub(crate) fn content_type(path: &Path) -> (String, Option<&'static str>) {
    let essence = essence(path).unwrap_or("application/octet-stream");
    let is_text = essence.starts_with("text/") || TEXT.contains(&essence);
    let is_svgz = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("svgz"));
    let content_type = format!("{essence}{}", if is_text { "; charset=UTF-8" } else { "" });
    (content_type, is_svgz.then_some("gzip"))
}

fn essence(path: &Path) -> Option<&'static str> {
    let ending = path.extension()?.to_str()?.to_ascii_lowercase();
    let mut types = TYPES.iter();
    let found = types.find(|(_, endings)| endings.split(' ').any(|one| one == ending));
    found.map(|&(essence, _)| essence)
}

/// What is text, and does not say so.
const TEXT: [&str; 3] =
    ["application/json", "application/xml", "application/manifest+json"];

/// Types, and the ends of names that they have.
const TYPES: &[(&str, &str)] = &[
    // Pages, and what they are made of.
    ("text/html", "html htm shtml"),
    ("text/css", "css"),
    // RFC 9239 section 6: one name for JavaScript, modules (.mjs) included.
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
    // Sound.
    ("audio/mpeg", "mp3"),
    ("audio/m4a", "m4a"),
    ("audio/aac", "aac"),
    ("audio/ogg", "ogg oga opus"),
    ("audio/wav", "wav"),
    ("audio/flac", "flac"),
    ("audio/webm", "weba"),
    ("audio/mid", "mid midi"),
    // Films.
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
    // Papers.
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
    // Things packed together.
    ("application/zip", "zip"),
    ("application/gzip", "gz tgz"),
    ("application/x-bzip2", "bz2"),
    ("application/x-xz", "xz"),
    ("application/zstd", "zst"),
    ("application/x-tar", "tar"),
    ("application/x-7z-compressed", "7z"),
    ("application/java-archive", "jar war"),
    // Things with a shape or a place.
    ("model/gltf+json", "gltf"),
    ("model/gltf-binary", "glb"),
    ("application/geo+json", "geojson"),
];
