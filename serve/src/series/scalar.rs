//! Arithmetic with plain numbers: what health checks ask, such as `1+1`.

/// The number that a text comes to, when it is arithmetic with plain numbers: `+ - * / % ^`, signs and
/// parentheses. `None` for anything else.
pub(super) fn scalar(text: &str) -> Option<f64> {
    let mut at = At { rest: text, depth: 0 };
    let value = at.sum()?;
    at.skip();
    at.rest.is_empty().then_some(value)
}

/// Parentheses and signs within each other.
const DEPTH_MAX: u32 = 32;

struct At<'a> {
    rest: &'a str,
    depth: u32,
}

impl At<'_> {
    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, wanted: &[char]) -> Option<char> {
        self.skip();
        let first = self.rest.chars().next().filter(|c| wanted.contains(c))?;
        self.rest = &self.rest[first.len_utf8()..];
        Some(first)
    }

    fn sum(&mut self) -> Option<f64> {
        let mut value = self.product()?;
        while let Some(operator) = self.take(&['+', '-']) {
            let other = self.product()?;
            value = if operator == '+' { value + other } else { value - other };
        }
        Some(value)
    }

    fn product(&mut self) -> Option<f64> {
        let mut value = self.signed()?;
        while let Some(operator) = self.take(&['*', '/', '%']) {
            let other = self.signed()?;
            value = match operator {
                '*' => value * other,
                '/' => value / other,
                _ => value % other,
            };
        }
        Some(value)
    }

    /// A sign binds less than a power, which groups from the right: -2^2 is -4.
    fn signed(&mut self) -> Option<f64> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return None;
        }
        let value = match self.take(&['+', '-']) {
            Some('-') => -self.signed()?,
            Some(_) => self.signed()?,
            None => {
                let base = self.atom()?;
                match self.take(&['^']) {
                    Some(_) => base.powf(self.signed()?),
                    None => base,
                }
            }
        };
        self.depth -= 1;
        Some(value)
    }

    fn atom(&mut self) -> Option<f64> {
        if self.take(&['(']).is_some() {
            let value = self.sum()?;
            self.take(&[')'])?;
            return Some(value);
        }
        self.skip();
        let digits = |c: char| c.is_ascii_digit() || c == '.';
        let end = self.rest.find(|c| !digits(c)).unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(end);
        self.rest = rest;
        number.parse().ok()
    }
}
