//! SIP as far as a phone needs it: one message taken apart, or put together.
//!
//! Knows headers and bodies, and nothing about calls. What is read comes from the Asterisk under test.

use std::net::SocketAddr;

/// A request or a response.
#[derive(Clone, Debug)]
pub struct Message {
    /// The first line.
    pub line: String,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Message {
    pub fn read(bytes: &[u8]) -> Option<Message> {
        let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
        let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
        let mut lines = head.lines();
        let line = lines.next()?.to_owned();
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
        Some(Message { line, headers: headers.collect(), body: body.to_owned() })
    }

    /// `INVITE` and so on; `None` for a response.
    pub fn method(&self) -> Option<&str> {
        self.line.split(' ').next().filter(|word| !word.starts_with("SIP/"))
    }

    /// The status of a response.
    pub fn status(&self) -> Option<u16> {
        let mut words = self.line.split(' ');
        words.next().filter(|word| word.starts_with("SIP/"))?;
        words.next()?.parse().ok()
    }

    /// The first header of this name; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value.as_str())
    }

    /// The number and the method of CSeq.
    pub fn cseq(&self) -> (u32, &str) {
        let (number, method) = self.header("CSeq").split_once(' ').unwrap_or(("0", ""));
        (number.parse().unwrap_or(0), method)
    }

    /// The address between the angle brackets of a header.
    pub fn address(&self, name: &str) -> &str {
        let value = self.header(name);
        value.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or(value, |(address, _)| address)
    }

    /// Where the other side wants its media.
    pub fn media(&self) -> Option<SocketAddr> {
        let lines = || self.body.lines();
        let host = lines().find_map(|line| line.strip_prefix("c=IN IP4 "))?;
        let port = lines().find_map(|line| line.strip_prefix("m=audio "))?.split(' ').next()?;
        format!("{host}:{port}").parse().ok().filter(|address: &SocketAddr| address.port() != 0)
    }

    /// The response to this request: `to` stands for its To header where the phone has put its tag there.
    pub fn answer(&self, status: &str, to: &str, more: &[String], body: &str) -> String {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for (name, value) in self.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("Via")) {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        let to = if to.is_empty() { self.header("To") } else { to };
        for (name, value) in [
            ("From", self.header("From")),
            ("To", to),
            ("Call-ID", self.header("Call-ID")),
            ("CSeq", self.header("CSeq")),
        ] {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        finish(text, more, body)
    }
}

/// The tag of a From or To header.
pub fn tag(header: &str) -> &str {
    let parameters = header.rsplit_once('>').map_or("", |(_, parameters)| parameters);
    parameters.split(';').find_map(|one| one.trim().strip_prefix("tag=")).unwrap_or_default()
}

/// The further headers, the length, and the body.
pub fn finish(mut head: String, more: &[String], body: &str) -> String {
    for header in more {
        head.push_str(header);
        head.push_str("\r\n");
    }
    if !body.is_empty() {
        head.push_str("Content-Type: application/sdp\r\n");
    }
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// What a phone offers and takes: A-law, and keys as RFC 4733 has them. `way` is `sendrecv`, or `sendonly` on hold.
pub fn session(media_port: u16, version: u32, way: &str) -> String {
    format!(
        "v=0\r\no=phone 1 {version} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio {media_port} RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
         a=fmtp:101 0-15\r\na=ptime:20\r\na={way}\r\n"
    )
}
