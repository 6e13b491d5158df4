#include "model/workspace.h"

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

// Makes `slab` anew for what `place` lays out. What exists is given back first, so that growing never holds both.
template <typename Place>
void Renew(Slab& slab, Place place) {
  Layout sizes(nullptr);
  place(sizes);
  slab = Slab();
  slab = Slab(sizes.bytes());
  Layout pieces(&slab);
  place(pieces);
}

}  // namespace

void Area::Plan(const LimbeckModelSpec& spec, int64_t tokens, bool with_qkv, bool with_head) {
  if (tokens <= tokens_) return;
  const PanelRows rows(spec);
  const int64_t panels = RoundUp(tokens, kLanes) / kLanes;
  tokens_ = -1;  // if the slab cannot be had, the next batch plans again
  Renew(slab_, [&](Layout& layout) {
    layout.Place(positions, tokens);
    layout.Place(x, panels * rows.hidden * kLanes);
    layout.Place(sum, panels * rows.hidden * kLanes);
    if (with_qkv) layout.Place(qkv, panels * rows.qkv * kLanes);
    layout.Place(context, panels * rows.hidden * kLanes);
    layout.Place(low, panels * kLanes);
    layout.Place(high, panels * kLanes);
    if (spec.precision == LIMBECK_INT8) layout.Place(x_q, panels, spec.hidden);
    if (spec.precision == LIMBECK_BF16) layout.Place(x_pairs, panels * rows.hidden * kLanes);
    if (with_head) {
      layout.Place(head, panels * rows.hidden * kLanes);
      layout.Place(logits, panels * rows.labels * kLanes);
    }
  });
  tokens_ = tokens;
}

void Scratch::Plan(const LimbeckModelSpec& spec, int64_t longest) {
  if (longest <= longest_) return;
  const PanelRows rows(spec);
  longest_ = -1;
  Renew(slab_, [&](Layout& layout) {
    if (spec.precision == LIMBECK_INT8) {
      layout.Place(ffn_staged, kBlockPanels * rows.ffn * kLanes);
      layout.Place(ffn_low, kBlockPanels * kLanes);
      layout.Place(ffn_high, kBlockPanels * kLanes);
      layout.Place(context, kBlockPanels, spec.hidden);
      layout.Place(ffn_q, kBlockPanels, spec.ffn);
    } else if (spec.precision == LIMBECK_BF16) {
      layout.Place(ffn_pairs, kBlockPanels * rows.ffn * kLanes);
      layout.Place(context_pairs, kBlockPanels * rows.hidden * kLanes);
    } else {
      layout.Place(ffn, kBlockPanels * rows.ffn * kLanes);
    }
    const int64_t width = spec.hidden / spec.heads;
    layout.Place(attention, spec.precision == LIMBECK_INT8 ? AttentionS16Scratch(longest, width)
                                                           : AttentionScratch(longest, width));
  });
  longest_ = longest;
}

size_t Workspace::size_bytes() const {
  size_t bytes = first.size_bytes();
  for (const Area& area : areas) bytes += area.size_bytes();
  for (const Scratch& each : scratch) bytes += each.size_bytes();
  return bytes;
}

}  // namespace limbeck
