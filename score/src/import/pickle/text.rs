//! The texts of protocol 0, which is made of lines.

/// Decodes `raw-unicode-escape`: Latin-1 with \uXXXX and \UXXXXXXXX.
pub(super) fn raw_unicode(line: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(line.len());
    let mut i = 0;
    while i < line.len() {
        let digits = match line.get(i..i + 2) {
            Some(b"\\u") => 4,
            Some(b"\\U") => 8,
            _ => {
                text.push(char::from(line[i]));
                i += 1;
                continue;
            }
        };
        let hex = std::str::from_utf8(line.get(i + 2..i + 2 + digits)?).ok()?;
        text.push(char::from_u32(u32::from_str_radix(hex, 16).ok()?)?);
        i += 2 + digits;
    }
    Some(text)
}

/// Decodes a quoted Python string literal of bytes: quotes, \n \r \t \\ \' \" and \xHH.
pub(super) fn quoted(line: &[u8]) -> Option<Vec<u8>> {
    let quote = *line.first()?;
    if !matches!(quote, b'\'' | b'"') || line.len() < 2 || *line.last()? != quote {
        return None;
    }
    let inner = &line[1..line.len() - 1];
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.iter().copied();
    while let Some(byte) = rest.next() {
        let decoded = match byte {
            b'\\' => match rest.next()? {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'x' => hex_digit(rest.next()?)? * 16 + hex_digit(rest.next()?)?,
                other @ (b'\\' | b'\'' | b'"') => other,
                _ => return None,
            },
            other => other,
        };
        bytes.push(decoded);
    }
    Some(bytes)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}
