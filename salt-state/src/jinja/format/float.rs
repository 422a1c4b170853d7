//! Floats as text with a precision.

/// How a float is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// `e`: one digit, a point, an exponent.
    Exponent,
    /// `f`: no exponent.
    Fixed,
    /// `g`: whichever is shorter.
    General,
    /// As `repr` does.
    Repr,
}

/// The digits of the absolute value, without sign.
///
/// `alternate` keeps the point and the zeros that would be dropped.
pub(super) fn digits(x: f64, style: Style, precision: Option<usize>, alternate: bool) -> String {
    let x = x.abs();
    if x.is_nan() {
        return "nan".to_owned();
    }
    if x.is_infinite() {
        return "inf".to_owned();
    }
    match (style, precision) {
        (Style::Fixed, precision) => {
            let precision = precision.unwrap_or(6);
            let text = format!("{x:.precision$}");
            if alternate && precision == 0 {
                text + "."
            } else {
                text
            }
        }
        (Style::Exponent, precision) => {
            let precision = precision.unwrap_or(6);
            exponent_text(&format!("{x:.precision$e}"), alternate)
        }
        (Style::General, precision) => general(x, precision.unwrap_or(6).max(1), alternate, false),
        (Style::Repr, None) => {
            let text = crate::jinja::value::float_repr(x);
            if alternate && !text.contains(['.', 'e']) {
                text + "."
            } else {
                text
            }
        }
        (Style::Repr, Some(precision)) => general(x, precision.max(1), alternate, true),
    }
}

/// Rust's `1.5e-7` to Python's `1.5e-07`.
fn exponent_text(text: &str, point: bool) -> String {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { '-' } else { '+' };
    let point = if point && !mantissa.contains('.') {
        "."
    } else {
        ""
    };
    format!("{mantissa}{point}e{sign}{:02}", exponent.abs())
}

fn general(x: f64, precision: usize, alternate: bool, decimal: bool) -> String {
    let scientific = format!("{x:.*e}", precision - 1);
    let exponent: i64 = scientific
        .split_once('e')
        .and_then(|(_, exponent)| exponent.parse().ok())
        .unwrap_or(0);
    let precision = i64::try_from(precision).unwrap_or(i64::MAX);
    // Without a type, one digit after the point is kept for a whole number.
    let most = if decimal { precision - 1 } else { precision };
    if exponent < -4 || exponent >= most.max(if decimal { 0 } else { 1 }) {
        let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        let mantissa = if alternate {
            mantissa
        } else {
            trim_zeros(mantissa)
        };
        return exponent_text(&format!("{mantissa}e{exponent}"), alternate);
    }
    let places = usize::try_from(precision - 1 - exponent).unwrap_or(0);
    let text = format!("{x:.places$}");
    if alternate {
        return if text.contains('.') { text } else { text + "." };
    }
    let trimmed = trim_zeros(&text);
    if decimal && !trimmed.contains('.') {
        return format!("{trimmed}.0");
    }
    trimmed.to_owned()
}

fn trim_zeros(text: &str) -> &str {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    }
}

/// `'%.*f'`.
pub(crate) fn fixed(x: f64, precision: usize) -> String {
    let sign = if x.is_sign_negative() && !x.is_nan() {
        "-"
    } else {
        ""
    };
    format!("{sign}{}", digits(x, Style::Fixed, Some(precision), false))
}

/// Python's `round(x, places)`.
pub(crate) fn round_half_even(x: f64, places: i64) -> f64 {
    if !x.is_finite() || places > 323 {
        return x;
    }
    if places < -310 {
        return 0.0_f64.copysign(x);
    }
    if places >= 0 {
        // The text has the exact value rounded half to even, as CPython does it.
        let places = usize::try_from(places).unwrap_or(0);
        return format!("{x:.places$}").parse().unwrap_or(x);
    }
    let unit = 10_f64.powi(i32::try_from(-places).unwrap_or(i32::MAX));
    let scaled = x / unit;
    let rounded = scaled.round_ties_even() * unit;
    if rounded.is_finite() { rounded } else { x }
}
