#include "model/workspace.h"

#include <algorithm>

namespace limbeck {
namespace {

// Runs the same list of pieces twice: once to add up their sizes, once to hand them out.
class Layout {
 public:
  explicit Layout(Slab* slab) : slab_(slab) {}

  template <typename T>
  void Place(T*& pointer, int64_t count) {
    bytes_ += Slab::Need<T>(count);
    if (slab_ != nullptr) pointer = slab_->Take<T>(count);
  }

  void Place(QuantizedPanels& panels, int64_t count, int64_t features) {
    Place(panels.q, count * RoundUp(features, kQuad) * kLanes);
    Place(panels.scale, count * kLanes);
    Place(panels.zero, count * kLanes);
  }

  size_t bytes() const { return bytes_; }

 private:
  Slab* slab_;
  size_t bytes_ = 0;
};

}  // namespace

void Workspace::Plan(const LimbeckModelSpec& spec, int64_t tokens, int64_t sequences, int64_t longest, int threads) {
  if (tokens <= tokens_ && sequences <= sequences_ && longest <= longest_) return;
  tokens = std::max(tokens, tokens_);
  sequences = std::max(sequences, sequences_);
  longest = std::max(longest, longest_);

  const bool int8 = spec.precision == LIMBECK_INT8;
  const int64_t panels = RoundUp(tokens, kLanes) / kLanes;
  const int64_t sequence_panels = RoundUp(sequences, kLanes) / kLanes;
  const int64_t head_panels = spec.head_kind == LIMBECK_HEAD_TOKEN ? panels : sequence_panels;
  hidden_rows = RoundUp(spec.hidden, kRowGroup);
  qkv_rows = RoundUp(3 * int64_t{spec.hidden}, kRowGroup);
  ffn_rows = RoundUp(spec.ffn, kRowGroup);
  label_rows = RoundUp(spec.labels, kRowGroup);
  blocks.resize(static_cast<size_t>(threads));
  attention.resize(static_cast<size_t>(threads));

  const auto place = [&](Layout& layout) {
    layout.Place(positions, tokens);
    layout.Place(first_tokens, sequences);
    layout.Place(x, panels * hidden_rows * kLanes);
    layout.Place(sum, panels * hidden_rows * kLanes);
    layout.Place(qkv, panels * qkv_rows * kLanes);
    layout.Place(context, panels * hidden_rows * kLanes);
    layout.Place(low, panels * kLanes);
    layout.Place(high, panels * kLanes);
    layout.Place(first, sequence_panels * hidden_rows * kLanes);
    if (int8) layout.Place(x_q, panels, spec.hidden);
    for (BlockScratch& block : blocks) {
      layout.Place(block.ffn, kBlockPanels * ffn_rows * kLanes);
      if (!int8) continue;
      layout.Place(block.context, kBlockPanels, spec.hidden);
      layout.Place(block.ffn_q, kBlockPanels, spec.ffn);
    }
    for (float*& scratch : attention) {
      layout.Place(scratch, AttentionScratch(longest, spec.hidden / spec.heads));
    }
    if (spec.head_kind != LIMBECK_HEAD_NONE) {
      layout.Place(head, head_panels * hidden_rows * kLanes);
      layout.Place(logits, head_panels * label_rows * kLanes);
    }
  };
  Layout sizes(nullptr);
  place(sizes);
  // What exists is given back first, so that growing never holds both; if the new slab cannot be had, the workspace is
  // empty and the next batch plans again.
  tokens_ = sequences_ = longest_ = -1;
  slab_ = Slab();
  slab_ = Slab(sizes.bytes());
  Layout pieces(&slab_);
  place(pieces);
  tokens_ = tokens;
  sequences_ = sequences;
  longest_ = longest;
}

}  // namespace limbeck
