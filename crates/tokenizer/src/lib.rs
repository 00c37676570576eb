//! Text to token ids and back: BPE and SentencePiece BPE, with a streaming decoder.
