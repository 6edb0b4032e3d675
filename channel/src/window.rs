//! Which seqs a Sync looks at: the member's spans, up to the tip, from one end. Pure.

use storage::member::Span;

/// The spans that are still to be read, in reading order.
pub struct Window {
    backwards: bool,
    /// Where reading starts; `None` once everything is read.
    parts: Vec<(u64, u64)>,
    first: u64,
    last: u64,
}

/// Seqs `first..=last` were looked at; more is there in the direction asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looked {
    pub first: u64,
    pub last: u64,
    pub has_more: bool,
}

impl Window {
    /// `tip` is the highest seq the member may see. Forwards, `from` is the first seq wanted; backwards the last,
    /// and 0 or anything above the tip means the tip.
    pub fn new(spans: &[Span], tip: u64, from: u64, backwards: bool) -> Window {
        let (first, last) = match backwards {
            false => (from.max(1), tip),
            true if from == 0 => (1, tip),
            true => (1, from.min(tip)),
        };
        let clip = |span: &Span| (span.from.max(first), span.to.min(last));
        let mut parts: Vec<_> = spans.iter().map(clip).filter(|(first, last)| first <= last).collect();
        // `next_part` takes from the end.
        if !backwards {
            parts.reverse();
        }
        // Nothing to look at is said by first > last, also where `from` is far beyond the tip.
        let last = if first > last { first - 1 } else { last };
        Window { backwards, parts, first, last }
    }

    /// The seqs to read next, first and last.
    pub fn next_part(&self) -> Option<(u64, u64)> {
        self.parts.last().copied()
    }

    /// `count` entries of the part were taken, from the end where reading starts.
    pub fn advance(&mut self, count: u64) {
        let Some((first, last)) = self.parts.last_mut() else { return };
        if self.backwards {
            *last = last.saturating_sub(count);
        } else {
            *first += count;
        }
        if first > last {
            self.parts.pop();
        }
    }

    /// What has been looked at: up to the next seq that is there to see, or to the end.
    pub fn looked(&self) -> Looked {
        let (first, last) = match (self.next_part(), self.backwards) {
            (None, _) => (self.first, self.last),
            (Some((next, _)), false) => (self.first, next - 1),
            (Some((_, next)), true) => (next + 1, self.last),
        };
        Looked { first, last, has_more: self.next_part().is_some() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPANS: [Span; 2] = [Span { from: 3, to: 5 }, Span { from: 9, to: u64::MAX }];

    fn looked(first: u64, last: u64, has_more: bool) -> Looked {
        Looked { first, last, has_more }
    }

    #[test]
    fn forwards_over_a_gap() {
        let mut window = Window::new(&SPANS, 12, 0, false);
        assert_eq!(window.next_part(), Some((3, 5)));
        assert_eq!(window.looked(), looked(1, 2, true));
        window.advance(2);
        assert_eq!(window.looked(), looked(1, 4, true));
        window.advance(1);
        // The seqs that the member may not see were looked at, too.
        assert_eq!(window.looked(), looked(1, 8, true));
        assert_eq!(window.next_part(), Some((9, 12)));
        window.advance(4);
        assert_eq!(window.looked(), looked(1, 12, false));
    }

    #[test]
    fn backwards_over_a_gap() {
        let mut window = Window::new(&SPANS, 12, 0, true);
        assert_eq!(window.next_part(), Some((9, 12)));
        window.advance(3);
        assert_eq!(window.looked(), looked(10, 12, true));
        window.advance(1);
        assert_eq!(window.looked(), looked(6, 12, true));
        window.advance(3);
        assert_eq!(window.looked(), looked(1, 12, false));
        assert_eq!(Window::new(&SPANS, 12, 99, true).next_part(), Some((9, 12)));
        assert_eq!(Window::new(&SPANS, 12, 4, true).next_part(), Some((3, 4)));
    }

    #[test]
    fn nothing_beyond_the_tip() {
        assert_eq!(Window::new(&SPANS, 12, 13, false).looked(), looked(13, 12, false));
        assert_eq!(Window::new(&SPANS, 12, u64::MAX, false).looked(), looked(u64::MAX, u64::MAX - 1, false));
        assert_eq!(Window::new(&SPANS, 12, 2, true).looked(), looked(1, 2, false));
        assert_eq!(Window::new(&[], 0, 0, true).looked(), looked(1, 0, false));
    }
}
