//! Which hosts an application answers for.

use crate::http::request::Request;
use crate::http::target::{is_authority, split_port};

/// Whether a request, by the host and port that it was made for, is one for us. A page of another
/// site can come here under that site's own name once its owner has the name lead here (DNS
/// rebinding); the browser then takes our pages for that site's.
pub(crate) fn is_allowed(request: &Request, allowed: &[String]) -> bool {
    if allowed.is_empty() {
        return true;
    }
    let (host, _) = split_port(request.authority_bytes().unwrap_or_default());
    // A name may be written with its root: `example.com.`
    let host = host.strip_suffix(b".").unwrap_or(host);
    allowed.iter().any(|pattern| matches(pattern.as_bytes(), host))
}

/// Whether there is a host that a pattern could match.
pub(crate) fn is_pattern(pattern: &str) -> bool {
    let host = pattern.strip_prefix("*.").unwrap_or(pattern);
    let is_domain = !host.contains(['*', '[']) && !host.ends_with('.');
    is_authority(host.as_bytes())
        && split_port(host.as_bytes()).1.is_empty()
        && (is_domain || (host == pattern && host.starts_with('[')))
}

fn matches(pattern: &[u8], host: &[u8]) -> bool {
    let Some(domain) = pattern.strip_prefix(b"*") else {
        return pattern == host || pattern.eq_ignore_ascii_case(host);
    };
    let start = host.len().saturating_sub(domain.len());
    start > 0 && host[start..].eq_ignore_ascii_case(domain)
}
