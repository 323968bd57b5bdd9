//! Values that cells name by number, because few cells have one. Pure.

/// A numbered collection of bounded size; numbers begin with 1.
#[derive(Debug, Clone)]
pub(super) struct Shelf<T> {
    values: Vec<Option<T>>,
    /// How many more values are refused before it is worth sweeping again.
    tired: usize,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            tired: 0,
        }
    }
}

impl<T: PartialEq> Shelf<T> {
    const MOST: usize = 2048;

    #[must_use]
    pub(super) fn get(&self, number: u16) -> Option<&T> {
        let at = usize::from(number).checked_sub(1)?;
        self.values.get(at)?.as_ref()
    }

    /// True if it is full, and some of it may have fallen out of use since it
    /// was asked the last time.
    pub(super) fn wants_sweep(&mut self) -> bool {
        let is_full = self.values.len() >= Self::MOST && self.values.iter().all(Option::is_some);
        if is_full && self.tired > 0 {
            self.tired -= 1;
            return false;
        }
        if is_full {
            self.tired = Self::MOST;
        }
        is_full
    }

    /// Puts a value in, once. None if it is full.
    pub(super) fn put(&mut self, value: T) -> Option<u16> {
        let mut free = self.values.len();
        for (at, held) in self.values.iter().enumerate() {
            match held {
                Some(held) if *held == value => return number(at),
                None => free = free.min(at),
                Some(_) => {}
            }
        }
        if free >= Self::MOST {
            return None;
        }
        if free == self.values.len() {
            self.values.push(None);
        }
        self.values[free] = Some(value);
        number(free)
    }

    /// Takes out what nobody names any more.
    pub(super) fn keep(&mut self, is_used: impl Fn(u16) -> bool) {
        for (at, value) in self.values.iter_mut().enumerate() {
            if !number(at).is_some_and(&is_used) {
                *value = None;
            }
        }
    }
}

fn number(at: usize) -> Option<u16> {
    u16::try_from(at + 1).ok()
}
