//! A vector whose copy is cheap and whose change copies one page.

use std::sync::Arc;

/// Elements per page: near the square root of the sizes that matter (10,000 peers), so that
/// copying the list of pages and copying one page cost about the same.
const PAGE: usize = 128;

/// An indexed sequence with structural sharing: `clone` copies one pointer per page, `set` copies
/// the page it touches if a clone still uses it. What was never set is the default.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pages<T> {
    pages: Vec<Arc<[T]>>,
}

impl<T: Clone + Default> Pages<T> {
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        self.pages.get(index / PAGE)?.get(index % PAGE)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flat_map(|page| page.iter())
    }

    pub(crate) fn set(&mut self, index: usize, value: T) {
        let (number, place) = (index / PAGE, index % PAGE);
        while self.pages.len() <= number {
            // Only the last page may be short, so that few elements take little memory.
            if let Some(last) = self.pages.last_mut() {
                grow(last, PAGE);
            }
            self.pages.push([].into());
        }
        if let Some(page) = self.pages.get_mut(number) {
            if page.len() <= place {
                grow(page, (place + 1).next_power_of_two());
            }
            if let Some(element) = Arc::make_mut(page).get_mut(place) {
                *element = value;
            }
        }
    }
}

fn grow<T: Clone + Default>(page: &mut Arc<[T]>, len: usize) {
    if page.len() < len {
        let more = (page.len()..len).map(|_| T::default());
        *page = page.iter().cloned().chain(more).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_keeps_what_it_saw() {
        let mut pages = Pages::default();
        for n in 0..1_000 {
            pages.set(n, n);
        }
        let before = pages.clone();
        pages.set(777, 0);
        pages.set(1_024, 5);
        assert_eq!(
            (before.get(777), before.get(1_000), before.get(1_024)),
            (Some(&777), Some(&0), None)
        );
        assert_eq!(
            (pages.get(777), pages.get(1_000), pages.get(1_024)),
            (Some(&0), Some(&0), Some(&5))
        );
        assert!(before.iter().copied().take(1_000).eq(0..1_000));
        let shared = before.pages.iter().zip(&pages.pages).filter(|(a, b)| Arc::ptr_eq(a, b));
        assert_eq!(shared.count(), 1_024 / PAGE - 1, "all but the changed one");
    }

    #[test]
    fn few_elements_take_little_room() {
        let mut pages = Pages::default();
        pages.set(0, 1);
        pages.set(2, 1);
        assert_eq!(pages.iter().copied().collect::<Vec<i32>>(), [1, 0, 1, 0]);
        pages.set(PAGE, 1);
        assert_eq!(pages.iter().count(), PAGE + 1);
        assert_eq!(pages.get(PAGE - 1), Some(&0));
    }
}
