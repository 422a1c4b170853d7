//! Directives, anchors, aliases and tags.

use super::{Error, Kind, Mark, Scanner, Token, TokenData};

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

impl Scanner<'_> {
    fn scan_word(&mut self) -> String {
        let start = self.mark.index;
        while is_word(self.byte(0)) {
            self.skip();
        }
        self.text
            .get(start..self.mark.index)
            .unwrap_or_default()
            .to_owned()
    }

    fn skip_blanks(&mut self) {
        while self.is_blank(0) {
            self.skip();
        }
    }

    pub(super) fn scan_directive(&mut self) -> Result<Token, Error> {
        const CONTEXT: &str = "while scanning a directive";
        let start = self.mark;
        self.skip();
        let name = self.scan_word();
        if name.is_empty() {
            return self.error(CONTEXT, start, "could not find expected directive name");
        }
        if !self.is_space_or_end(0) {
            return self.error(
                CONTEXT,
                start,
                "found unexpected non-alphabetical character",
            );
        }
        let data = match name.as_str() {
            "YAML" => self.scan_version(start)?,
            "TAG" => self.scan_tag_directive(start)?,
            _ => return self.error(CONTEXT, start, "found unknown directive name"),
        };
        let end = self.mark;
        self.skip_blanks();
        if self.byte(0) == b'#' {
            while !self.is_break_or_end(0) {
                self.skip();
            }
        }
        if !self.is_break_or_end(0) {
            return self.error(
                CONTEXT,
                start,
                "did not find expected comment or line break",
            );
        }
        self.skip_line();
        Ok(Token { data, start, end })
    }

    fn scan_version(&mut self, start: Mark) -> Result<TokenData, Error> {
        const CONTEXT: &str = "while scanning a %YAML directive";
        self.skip_blanks();
        let major = self.scan_version_number(start)?;
        if self.byte(0) != b'.' {
            return self.error(
                CONTEXT,
                start,
                "did not find expected digit or '.' character",
            );
        }
        self.skip();
        let minor = self.scan_version_number(start)?;
        Ok(TokenData::VersionDirective(major, minor))
    }

    fn scan_version_number(&mut self, start: Mark) -> Result<u32, Error> {
        const CONTEXT: &str = "while scanning a %YAML directive";
        let mut value = 0;
        let mut length = 0;
        while self.byte(0).is_ascii_digit() {
            length += 1;
            if length > 9 {
                return self.error(CONTEXT, start, "found extremely long version number");
            }
            value = value * 10 + u32::from(self.byte(0) - b'0');
            self.skip();
        }
        if length == 0 {
            return self.error(CONTEXT, start, "did not find expected version number");
        }
        Ok(value)
    }

    fn scan_tag_directive(&mut self, start: Mark) -> Result<TokenData, Error> {
        const CONTEXT: &str = "while scanning a %TAG directive";
        self.skip_blanks();
        let handle = self.scan_tag_handle(true, start)?;
        if !self.is_blank(0) {
            return self.error(CONTEXT, start, "did not find expected whitespace");
        }
        self.skip_blanks();
        let prefix = self.scan_tag_uri(true, true, "", start)?;
        if !self.is_space_or_end(0) {
            return self.error(
                CONTEXT,
                start,
                "did not find expected whitespace or line break",
            );
        }
        Ok(TokenData::TagDirective(handle, prefix))
    }

    pub(super) fn scan_anchor(&mut self, alias: bool) -> Result<Token, Error> {
        let start = self.mark;
        self.skip();
        let name = self.scan_word();
        let follows_well = self.is_space_or_end(0)
            || matches!(
                self.byte(0),
                b'?' | b':' | b',' | b']' | b'}' | b'%' | b'@' | b'`'
            );
        if name.is_empty() || !follows_well {
            let context = if alias {
                "while scanning an alias"
            } else {
                "while scanning an anchor"
            };
            return self.error(
                context,
                start,
                "did not find expected alphabetic or numeric character",
            );
        }
        let data = if alias {
            TokenData::Alias(name)
        } else {
            TokenData::Anchor(name)
        };
        Ok(Token {
            data,
            start,
            end: self.mark,
        })
    }

    pub(super) fn scan_tag(&mut self) -> Result<Token, Error> {
        const CONTEXT: &str = "while scanning a tag";
        let start = self.mark;
        let (mut handle, mut suffix);
        if self.byte(1) == b'<' {
            self.skip_n(2);
            handle = String::new();
            suffix = self.scan_tag_uri(true, false, "", start)?;
            if self.byte(0) != b'>' {
                return self.error(CONTEXT, start, "did not find the expected '>'");
            }
            self.skip();
        } else {
            handle = self.scan_tag_handle(false, start)?;
            if handle.len() > 1 && handle.ends_with('!') {
                suffix = self.scan_tag_uri(false, false, "", start)?;
            } else {
                suffix = self.scan_tag_uri(false, false, &handle, start)?;
                handle = "!".to_owned();
                if suffix.is_empty() {
                    std::mem::swap(&mut handle, &mut suffix);
                }
            }
        }
        if !(self.is_space_or_end(0) || self.flow_level > 0 && self.byte(0) == b',') {
            return self.error(
                CONTEXT,
                start,
                "did not find expected whitespace or line break",
            );
        }
        Ok(Token {
            data: TokenData::Tag(handle, suffix),
            start,
            end: self.mark,
        })
    }

    fn scan_tag_handle(&mut self, directive: bool, start: Mark) -> Result<String, Error> {
        let context = if directive {
            "while scanning a tag directive"
        } else {
            "while scanning a tag"
        };
        if self.byte(0) != b'!' {
            return self.error(context, start, "did not find expected '!'");
        }
        self.skip();
        let mut handle = format!("!{}", self.scan_word());
        if self.byte(0) == b'!' {
            handle.push('!');
            self.skip();
        } else if directive && handle != "!" {
            return self.error(
                "while parsing a tag directive",
                start,
                "did not find expected '!'",
            );
        }
        Ok(handle)
    }

    /// Reads the rest of a tag; `head` is a handle that turned out to be its beginning.
    fn scan_tag_uri(
        &mut self,
        verbatim: bool,
        directive: bool,
        head: &str,
        start: Mark,
    ) -> Result<String, Error> {
        let context = if directive {
            "while parsing a %TAG directive"
        } else {
            "while parsing a tag"
        };
        // The leading `!` of a head belongs to the handle.
        let mut bytes = head.get(1..).unwrap_or_default().as_bytes().to_vec();
        let mut any = !head.is_empty();
        // The place of the last escaped character and how many octets it lacks.
        let (mut character, mut pending) = (self.mark, 0);
        loop {
            let byte = self.byte(0);
            let allowed = is_word(byte)
                || matches!(
                    byte,
                    b';' | b'/'
                        | b'?'
                        | b':'
                        | b'@'
                        | b'&'
                        | b'='
                        | b'+'
                        | b'$'
                        | b'.'
                        | b'!'
                        | b'~'
                        | b'*'
                        | b'\''
                        | b'('
                        | b')'
                        | b'%'
                )
                || verbatim && matches!(byte, b',' | b'[' | b']');
            if !allowed {
                break;
            }
            any = true;
            if byte == b'%' {
                let (Some(high), Some(low)) = (
                    char::from(self.byte(1)).to_digit(16),
                    char::from(self.byte(2)).to_digit(16),
                ) else {
                    return self.error(context, start, "did not find URI escaped octet");
                };
                let octet = u8::try_from(high * 16 + low).unwrap_or(0);
                if pending == 0 {
                    character = self.mark;
                    pending = match octet {
                        0xC0..=0xDF => 1,
                        0xE0..=0xEF => 2,
                        0xF0..=0xF7 => 3,
                        _ => 0,
                    };
                } else {
                    pending -= 1;
                }
                bytes.push(octet);
                self.skip_n(3);
            } else {
                bytes.push(byte);
                self.skip();
            }
        }
        if !any {
            return self.error(context, start, "did not find expected tag URI");
        }
        String::from_utf8(bytes).map_err(|_| {
            Error::with_context(
                Kind::Scanner,
                context,
                start,
                "found an incorrect leading UTF-8 octet",
                character,
            )
        })
    }
}
