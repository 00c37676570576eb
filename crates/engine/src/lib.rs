//! Scheduler, block pool and the one worker thread; sees neither tensors nor text.
