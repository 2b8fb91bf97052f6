//! A strict parser of responses (RFC 9112): one byte too many or too few is an error.

use super::model::{is_text, is_token, number};

/// The properties of a request that the framing of its response depends on.
#[derive(Clone, Copy, Debug)]
pub struct RequestContext {
    /// `true` for HEAD: the response has no content.
    pub is_head: bool,
    /// `true` for HTTP/1.0, which has no chunks.
    pub is_1_0: bool,
}

/// All fields that a response may have. Any other field must have come from the client
/// (response splitting).
const NAMES: [&str; 16] = [
    "Accept-Ranges",
    "Allow",
    "Cache-Control",
    "Connection",
    "Content-Length",
    "Content-Range",
    "Content-Security-Policy",
    "Content-Type",
    "Date",
    "ETag",
    "Last-Modified",
    "Referrer-Policy",
    "Transfer-Encoding",
    "X-Content-Type-Options",
    super::application::REFLECTED,
    super::application::HANDLER_FIELD,
];

/// A parsed response.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// All fields except Date, which differs between responses.
    pub fields: Vec<(String, String)>,
    pub content: Vec<u8>,
    /// `true` if the connection ended before the content did.
    pub is_aborted: bool,
}

impl Response {
    /// Returns the value of a singleton field.
    pub fn value(&self, name: &str) -> Result<Option<&str>, String> {
        let mut values =
            self.fields.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.as_str());
        match values.next() {
            None => Ok(value),
            Some(_) => Err(format!("there are two fields {name}")),
        }
    }

    /// Returns `true` if the response announces the end of the connection.
    pub fn closes(&self) -> Result<bool, String> {
        match self.value("Connection")? {
            None | Some("keep-alive") => Ok(false),
            Some("close") => Ok(true),
            Some(other) => Err(format!("Connection: {other}")),
        }
    }

    fn is_interim(&self) -> bool {
        self.status < 200
    }

    /// Parses one response and removes it from `input`.
    pub fn take(input: &mut &[u8], context: RequestContext) -> Result<Response, String> {
        let mut response =
            Response { status: status(line(input)?)?, ..Response::default() };
        loop {
            let line = line(input)?;
            if line.is_empty() {
                break;
            }
            response.fields.push(field(line)?);
        }
        let date = response.value("Date")?.map(str::len);
        if date != (!response.is_interim()).then_some("Sun, 06 Nov 1994 08:49:37 GMT".len())
        {
            return Err("the Date is not as it should be".into());
        }
        response.fields.retain(|(name, _)| name != "Date");
        response.take_content(input, context)?;
        Ok(response)
    }

    fn take_content(
        &mut self,
        input: &mut &[u8],
        context: RequestContext,
    ) -> Result<(), String> {
        let length = self.value("Content-Length")?.map(str::to_owned);
        let coding = self.value("Transfer-Encoding")?.map(str::to_owned);
        let has_none = self.is_interim() || matches!(self.status, 204 | 304);
        match (length, coding.as_deref()) {
            (None, None) if has_none => Ok(()),
            _ if has_none => Err("framing, where there is no content".into()),
            (Some(length), None) => {
                let length =
                    number(length.as_bytes(), 10).ok_or("no valid Content-Length")?;
                if context.is_head {
                    return Ok(());
                }
                let split =
                    input.split_at_checked(length).ok_or("the content is too short")?;
                self.content = split.0.to_vec();
                *input = split.1;
                Ok(())
            }
            (None, Some("chunked")) if context.is_1_0 => Err("chunks in HTTP/1.0".into()),
            (None, Some("chunked")) if context.is_head => Ok(()),
            (None, Some("chunked")) => self.take_chunks(input),
            // The GET response would be close-delimited.
            (None, None) if context.is_head && context.is_1_0 => Ok(()),
            (None, None) if !self.closes()? || !context.is_1_0 => {
                Err("nothing says where the content ends".into())
            }
            (None, None) => {
                self.content = std::mem::take(input).to_vec();
                Ok(())
            }
            _ => Err("two ways to say where the content ends".into()),
        }
    }

    fn take_chunks(&mut self, input: &mut &[u8]) -> Result<(), String> {
        loop {
            if input.is_empty() {
                self.is_aborted = true;
                return Ok(());
            }
            let size = line(input)?;
            let size = number(size, 16).ok_or("a chunk without a size")?;
            let data = input.split_at_checked(size).ok_or("a chunk is too short")?;
            self.content.extend_from_slice(data.0);
            *input = data.1.strip_prefix(b"\r\n").ok_or("a chunk has no end")?;
            if size == 0 {
                return Ok(());
            }
        }
    }
}

/// Takes the next line without its CRLF.
fn line<'i>(input: &mut &'i [u8]) -> Result<&'i [u8], String> {
    let end = input.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
    let (line, rest) = input.split_at(end.ok_or("a line without end")?);
    *input = rest.strip_prefix(b"\r\n").ok_or("a line that does not end in CRLF")?;
    Ok(line)
}

/// ```text
/// status-line = HTTP-version SP status-code SP [ reason-phrase ]
/// ```
fn status(line: &[u8]) -> Result<u16, String> {
    let malformed = || format!("a status line {}", line.escape_ascii());
    let rest = line.strip_prefix(b"HTTP/1.1 ").ok_or_else(malformed)?;
    let (code, reason) = rest.split_at_checked(3).ok_or_else(malformed)?;
    let code = number(code, 10).filter(|code| (100..600).contains(code));
    let is_whole = reason.starts_with(b" ") && is_text(reason);
    let code = code.filter(|_| is_whole).and_then(|code| u16::try_from(code).ok());
    code.ok_or_else(malformed)
}

fn field(line: &[u8]) -> Result<(String, String), String> {
    let malformed = || format!("a field line {}", line.escape_ascii());
    let colon = line.windows(2).position(|pair| pair == b": ").ok_or_else(malformed)?;
    let (name, value) = (&line[..colon], &line[colon + 2..]);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (name, is_valid) = (text(name), is_token(name) && is_text(value));
    let is_known = NAMES.contains(&name.as_str());
    (is_valid && is_known).then_some((name, text(value))).ok_or_else(malformed)
}
