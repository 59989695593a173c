//! What a phone sends beside SIP: a packet of noise every 20 ms, or of a key that is pressed (RFC 4733).
//!
//! Without media Asterisk does not optimise a Local channel away, and without keys nobody transfers by a feature code.
//! What the other side sends is not listened to.

use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::Result;

const FRAME: Duration = Duration::from_millis(20);
/// Samples in a frame, at 8000 a second.
const SAMPLES: u16 = 160;
/// Frames that a key is held, that say it is let go, and until the next one.
const HELD: u16 = 4;
const LET_GO: u16 = 3;
const GAP: u16 = 4;

/// The media of one call.
pub struct Media {
    socket: UdpSocket,
    pub port: u16,
    /// Where to send it; `None` until the other side has said so.
    pub remote: Option<SocketAddr>,
    sequence: u16,
    timestamp: u32,
    due: Instant,
    keys: VecDeque<Frame>,
}

enum Frame {
    /// Loud enough for a voicemail box to take it for a voice.
    Noise,
    Key {
        event: u8,
        frames: u16,
        last: bool,
    },
}

impl Media {
    pub fn new() -> Result<Media> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_nonblocking(true)?;
        let port = socket.local_addr()?.port();
        Ok(Media {
            socket,
            port,
            remote: None,
            sequence: 0,
            timestamp: 0,
            due: Instant::now(),
            keys: VecDeque::new(),
        })
    }

    /// Presses these keys one after another: 0 to 9, `*` and `#`.
    pub fn press(&mut self, keys: &str) {
        for key in keys.bytes() {
            let event = match key {
                b'*' => 10,
                b'#' => 11,
                digit => digit.wrapping_sub(b'0'),
            };
            self.keys.extend((1..=HELD).map(|frames| Frame::Key { event, frames, last: false }));
            self.keys.extend((0..LET_GO).map(|_| Frame::Key { event, frames: HELD, last: true }));
            self.keys.extend((0..GAP).map(|_| Frame::Noise));
        }
    }

    /// Whether all keys have been pressed.
    pub fn is_quiet(&self) -> bool {
        self.keys.is_empty()
    }

    /// Sends what is due.
    pub fn tick(&mut self) {
        let Some(remote) = self.remote else { return };
        let now = Instant::now();
        if self.due + 10 * FRAME < now {
            // Nothing is gained by sending late what was not sent in time.
            self.due = now;
        }
        while self.due <= now {
            self.due += FRAME;
            let packet = self.packet();
            // Who has hung up refuses it.
            let _ = self.socket.send_to(&packet, remote);
        }
    }

    fn packet(&mut self) -> Vec<u8> {
        let frame = self.keys.pop_front().unwrap_or(Frame::Noise);
        self.sequence = self.sequence.wrapping_add(1);
        let (kind, stamp) = match frame {
            Frame::Noise => {
                self.timestamp += u32::from(SAMPLES);
                (8, self.timestamp)
            }
            // All packets of one key have the time of the first.
            Frame::Key { frames, .. } => (101 | if frames == 1 { 0x80 } else { 0 }, self.timestamp),
        };
        let mut packet = vec![0x80, kind];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(stamp.to_be_bytes());
        packet.extend(u32::from(self.port).to_be_bytes());
        match frame {
            Frame::Noise => packet.extend([0x2a, 0xaa].repeat(usize::from(SAMPLES) / 2)),
            Frame::Key { event, frames, last } => {
                packet.extend([event, if last { 0x8a } else { 0x0a }]);
                packet.extend((frames * SAMPLES).to_be_bytes());
                if last && !matches!(self.keys.front(), Some(Frame::Key { .. })) {
                    self.timestamp += u32::from(HELD + LET_GO) * u32::from(SAMPLES);
                }
            }
        }
        packet
    }
}
