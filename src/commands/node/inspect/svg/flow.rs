//! Boxes of several sizes side by side, from left to right, and on to the next row.

use super::GAP;

/// A place for the next box.
#[derive(Debug)]
pub(super) struct Flow {
    left: u32,
    right: u32,
    x: u32,
    y: u32,
    row: u32,
}

impl Flow {
    /// An area of this width.
    pub(super) fn new(left: u32, top: u32, width: u32) -> Self {
        Self { left, right: left + width, x: left, y: top, row: 0 }
    }

    /// Where a box of this size goes. One that is wider than the area gets a row of its own.
    pub(super) fn place(&mut self, width: u32, height: u32) -> (u32, u32) {
        if self.x > self.left && self.x + width > self.right {
            self.y += self.row + GAP;
            (self.x, self.row) = (self.left, 0);
        }
        let at = (self.x, self.y);
        self.x += width + GAP;
        self.row = self.row.max(height);
        at
    }

    /// Where the last row ends.
    pub(super) fn bottom(&self) -> u32 {
        self.y + self.row
    }
}

#[cfg(test)]
mod tests {
    use super::Flow;

    #[test]
    fn nothing_overlaps_and_nothing_sticks_out() {
        let mut flow = Flow::new(10, 100, 300);
        let places: Vec<_> = [(100, 50), (100, 80), (100, 20), (400, 10)].map(|(w, h)| flow.place(w, h)).to_vec();
        assert_eq!(places, [(10, 100), (122, 100), (10, 192), (10, 224)]);
        assert_eq!(flow.bottom(), 234);
    }
}
