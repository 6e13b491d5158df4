#include "model/forward.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace limbeck {
namespace {

// Splits 0 .. count - 1 evenly; returns the first item of `part`.
int64_t SplitAt(int64_t count, int64_t parts, int64_t part) { return count * part / parts; }

int64_t At(int64_t rows, int64_t token, int64_t row) {
  return ((token / kLanes) * rows + row) * kLanes + token % kLanes;
}

// The panels of `all` from `panel` on.
QuantizedPanels From(const QuantizedPanels& all, int64_t panel, int64_t features) {
  const int64_t bytes = RoundUp(features, kQuad) * kLanes;
  return {all.q + panel * bytes, all.scale + panel * kLanes, all.zero + panel * kLanes};
}

}  // namespace

ForwardPass::ForwardPass(Model& model, const BatchView& batch, int32_t output, float* out)
    : model_(model),
      spec_(model.spec_),
      kernels_(model.kernels_),
      ws_(model.workspace_),
      batch_(batch),
      output_(output),
      out_(out),
      threads_(model.pool_.threads()),
      int8_(spec_.precision == LIMBECK_INT8),
      first_only_(output == LIMBECK_POOLED_CLS ||
                  (output == LIMBECK_LOGITS && spec_.head_kind == LIMBECK_HEAD_SEQUENCE)) {
  for (std::atomic<int64_t>& counter : counters_) counter.store(0, std::memory_order_relaxed);
  for (int64_t b = 0; b < batch.sequences; ++b) {
    ws_.first_tokens[b] = batch.cu_seqlens[b];
    int32_t counted = 0;
    for (int32_t t = batch.cu_seqlens[b]; t < batch.cu_seqlens[b + 1]; ++t) {
      if (spec_.position_mode == LIMBECK_ABSOLUTE) {
        ws_.positions[t] = t - batch.cu_seqlens[b];
      } else {
        ws_.positions[t] = batch.ids[t] == spec_.pad_id ? spec_.pad_id : spec_.pad_id + ++counted;
      }
    }
  }
}

ForwardPass::Stream ForwardPass::MakeStream(float* x, int64_t tokens) const {
  Stream stream;
  stream.x = x;
  stream.panels = RoundUp(tokens, kLanes) / kLanes;
  // Below four panels a thread, two threads would each stream all weights for little arithmetic; sharing the rows
  // halves that, at the price of a barrier behind every linear layer. Row sharing uses the scratch of one block.
  stream.split_rows = threads_ > 1 && stream.panels <= kBlockPanels && stream.panels < 4 * threads_;
  // Blocks of equal size, as many as a multiple of the threads.
  const int64_t rounds = RoundUp(stream.panels, kBlockPanels * threads_) / (kBlockPanels * threads_);
  stream.block_panels = std::min(kBlockPanels, RoundUp(stream.panels, rounds * threads_) / (rounds * threads_));
  stream.blocks = RoundUp(stream.panels, stream.block_panels) / stream.block_panels;
  return stream;
}

Linear::Range ForwardPass::Share(const Linear& linear, const Stream& stream, int thread) const {
  return {SplitAt(linear.groups(), threads_, thread), SplitAt(linear.groups(), threads_, thread + 1), 0, stream.panels};
}

void ForwardPass::Run(int thread) {
  Barrier& barrier = model_.barrier_;
  int stage = 0;
  const auto next_counter = [&]() -> std::atomic<int64_t>& {
    counters_[(stage + 2) % kCounters].store(0, std::memory_order_relaxed);
    return counters_[stage++ % kCounters];
  };
  const std::vector<Layer>& layers = model_.layers_;
  const Stream all = MakeStream(ws_.x, batch_.tokens);
  const Stream first = MakeStream(ws_.first, batch_.sequences);

  std::atomic<int64_t>& embed = next_counter();
  for (int64_t panel; (panel = embed.fetch_add(1)) < all.panels;) Embed(panel);
  barrier.Wait();
  const Linear& qkv = layers.front().qkv;
  QueriesKeysValues(all, layers.front(), Share(qkv, all, thread));
  barrier.Wait();

  for (size_t i = 0; i < layers.size(); ++i) {
    const Layer* next = i + 1 < layers.size() ? &layers[i + 1] : nullptr;
    const bool narrow = next == nullptr && first_only_;
    std::atomic<int64_t>& attend = next_counter();
    const int64_t items = batch_.sequences * spec_.heads;
    const int64_t gathers = narrow ? first.panels : 0;
    for (int64_t item; (item = attend.fetch_add(1)) < items + gathers;) {
      if (item < items) {
        Attend(layers[i], item, narrow, thread);
      } else {
        GatherFirst(item - items);
      }
    }
    barrier.Wait();
    TokenWise(narrow ? first : all, layers[i], next, thread, next_counter());
    barrier.Wait();
  }
  HeadOutput(first_only_ ? first : all, thread);
}

void ForwardPass::Embed(int64_t panel) {
  const Embeddings& tables = model_.embeddings_;
  const int64_t hidden = spec_.hidden;
  float* x = ws_.x + panel * ws_.hidden_rows * kLanes;
  for (int64_t lane = 0; lane < kLanes; ++lane) {
    const int64_t token = panel * kLanes + lane;
    if (token >= batch_.tokens) {
      for (int64_t c = 0; c < hidden; ++c) x[c * kLanes + lane] = 0.0f;
      continue;
    }
    const int64_t id = batch_.ids[token];
    const float* position = tables.position + ws_.positions[token] * hidden;
    const float* type = nullptr;
    if (tables.type != nullptr) type = tables.type + (batch_.type_ids == nullptr ? 0 : batch_.type_ids[token]) * hidden;
    const float* word_f32 = tables.word_f32 == nullptr ? nullptr : tables.word_f32 + id * hidden;
    const int8_t* word_s8 = tables.word_s8 == nullptr ? nullptr : tables.word_s8 + id * hidden;
    const float scale = word_s8 == nullptr ? 0.0f : tables.word_scale[id];
    for (int64_t c = 0; c < hidden; ++c) {
      float sum = word_f32 != nullptr ? word_f32[c] : static_cast<float>(word_s8[c]) * scale;
      if (type != nullptr) sum = sum + type[c];
      x[c * kLanes + lane] = sum + position[c];
    }
  }
  const LayerNormArgs args = {x,
                              x,
                              tables.norm.gain,
                              tables.norm.bias,
                              ws_.low + panel * kLanes,
                              ws_.high + panel * kLanes,
                              hidden,
                              spec_.norm_eps};
  kernels_.layer_norm.run(args);
  if (!int8_) return;
  const QuantizedPanels q = From(ws_.x_q, panel, hidden);
  kernels_.quantize.run({x, args.low, args.high, q.q, q.scale, q.zero, hidden});
}

void ForwardPass::QueriesKeysValues(const Stream& stream, const Layer& layer, const Linear::Range& range) {
  if (int8_) {
    layer.qkv.RunInt8(kernels_, ws_.x_q, nullptr, 0, ws_.qkv, ws_.qkv_rows, Activation::kIdentity, range);
  } else {
    layer.qkv.RunF32(kernels_, stream.x, ws_.hidden_rows, nullptr, 0, ws_.qkv, ws_.qkv_rows, Activation::kIdentity,
                     range);
  }
}

void ForwardPass::Attend(const Layer& /*layer*/, int64_t item, bool first_only, int thread) {
  const int64_t sequence = item / spec_.heads;
  const int64_t head = item % spec_.heads;
  const int64_t width = spec_.hidden / spec_.heads;
  AttentionArgs args;
  args.in = ws_.qkv;
  args.in_rows = ws_.qkv_rows;
  args.query_row = head * width;
  args.key_row = spec_.hidden + head * width;
  args.value_row = 2 * spec_.hidden + head * width;
  args.head_width = width;
  args.scale = 1.0f / std::sqrt(static_cast<float>(width));
  args.first_token = batch_.cu_seqlens[sequence];
  args.length = batch_.cu_seqlens[sequence + 1] - batch_.cu_seqlens[sequence];
  args.queries = first_only ? 1 : args.length;
  args.out = ws_.context;
  args.out_rows = ws_.hidden_rows;
  args.out_row = head * width;
  args.out_token = first_only ? sequence : args.first_token;
  args.scratch = ws_.attention[static_cast<size_t>(thread)];
  kernels_.attention.run(args);
}

void ForwardPass::GatherFirst(int64_t panel) {
  for (int64_t lane = 0; lane < kLanes; ++lane) {
    const int64_t sequence = panel * kLanes + lane;
    for (int64_t c = 0; c < spec_.hidden; ++c) {
      ws_.first[(panel * ws_.hidden_rows + c) * kLanes + lane] =
          sequence < batch_.sequences ? ws_.x[At(ws_.hidden_rows, ws_.first_tokens[sequence], c)] : 0.0f;
    }
  }
}

void ForwardPass::TokenWise(const Stream& stream, const Layer& layer, const Layer* next, int thread,
                            std::atomic<int64_t>& counter) {
  if (stream.split_rows) {
    TokenWiseSplit(stream, layer, next, thread);
    return;
  }
  for (int64_t block; (block = counter.fetch_add(1)) < stream.blocks;) {
    const int64_t begin = block * stream.block_panels;
    TokenWiseBlock(stream, layer, next, begin, std::min(begin + stream.block_panels, stream.panels), thread);
  }
}

void ForwardPass::TokenWiseBlock(const Stream& stream, const Layer& layer, const Layer* next, int64_t begin,
                                 int64_t end, int thread) {
  const BlockScratch& scratch = ws_.blocks[static_cast<size_t>(thread)];
  QuantizeContext(begin, end, scratch, begin);
  Project(stream, layer, scratch, begin, {0, layer.output.groups(), begin, end});
  Normalize(stream, layer.attention_norm, begin, end);
  FeedIn(stream, layer, scratch, begin, {0, layer.ffn_in.groups(), begin, end});
  QuantizeFeed(begin, end, scratch, begin);
  FeedOut(stream, layer, scratch, begin, {0, layer.ffn_out.groups(), begin, end});
  Normalize(stream, layer.ffn_norm, begin, end);
  if (next != nullptr) QueriesKeysValues(stream, *next, {0, next->qkv.groups(), begin, end});
}

void ForwardPass::TokenWiseSplit(const Stream& stream, const Layer& layer, const Layer* next, int thread) {
  Barrier& barrier = model_.barrier_;
  const BlockScratch& scratch = ws_.blocks.front();
  const int64_t begin = SplitAt(stream.panels, threads_, thread);
  const int64_t end = SplitAt(stream.panels, threads_, thread + 1);
  if (int8_) {
    QuantizeContext(begin, end, scratch, 0);
    barrier.Wait();
  }
  Project(stream, layer, scratch, 0, Share(layer.output, stream, thread));
  barrier.Wait();
  Normalize(stream, layer.attention_norm, begin, end);
  barrier.Wait();
  FeedIn(stream, layer, scratch, 0, Share(layer.ffn_in, stream, thread));
  barrier.Wait();
  if (int8_) {
    QuantizeFeed(begin, end, scratch, 0);
    barrier.Wait();
  }
  FeedOut(stream, layer, scratch, 0, Share(layer.ffn_out, stream, thread));
  barrier.Wait();
  Normalize(stream, layer.ffn_norm, begin, end);
  if (next == nullptr) return;
  barrier.Wait();
  QueriesKeysValues(stream, *next, Share(next->qkv, stream, thread));
}

void ForwardPass::QuantizeContext(int64_t begin, int64_t end, const BlockScratch& scratch, int64_t base) {
  if (!int8_) return;
  for (int64_t panel = begin; panel < end; ++panel) {
    const QuantizedPanels q = From(scratch.context, panel - base, spec_.hidden);
    kernels_.quantize.run(
        {ws_.context + panel * ws_.hidden_rows * kLanes, nullptr, nullptr, q.q, q.scale, q.zero, spec_.hidden});
  }
}

void ForwardPass::Project(const Stream& stream, const Layer& layer, const BlockScratch& scratch, int64_t base,
                          const Linear::Range& range) {
  if (int8_) {
    const int64_t offset = base * ws_.hidden_rows * kLanes;
    layer.output.RunInt8(kernels_, scratch.context, stream.x + offset, ws_.hidden_rows, ws_.sum + offset,
                         ws_.hidden_rows, Activation::kIdentity,
                         {range.group_begin, range.group_end, range.panel_begin - base, range.panel_end - base});
  } else {
    layer.output.RunF32(kernels_, ws_.context, ws_.hidden_rows, stream.x, ws_.hidden_rows, ws_.sum, ws_.hidden_rows,
                        Activation::kIdentity, range);
  }
}

void ForwardPass::Normalize(const Stream& stream, const Norm& norm, int64_t begin, int64_t end) {
  for (int64_t panel = begin; panel < end; ++panel) {
    const int64_t offset = panel * ws_.hidden_rows * kLanes;
    float* x = stream.x + offset;
    const LayerNormArgs args = {
        ws_.sum + offset, x, norm.gain, norm.bias, ws_.low + panel * kLanes, ws_.high + panel * kLanes, spec_.hidden,
        spec_.norm_eps};
    kernels_.layer_norm.run(args);
    if (!int8_) continue;
    const QuantizedPanels q = From(ws_.x_q, panel, spec_.hidden);
    kernels_.quantize.run({x, args.low, args.high, q.q, q.scale, q.zero, spec_.hidden});
  }
}

void ForwardPass::FeedIn(const Stream& stream, const Layer& layer, const BlockScratch& scratch, int64_t base,
                         const Linear::Range& range) {
  const auto activation = static_cast<Activation>(spec_.activation);
  const Linear::Range local = {range.group_begin, range.group_end, range.panel_begin - base, range.panel_end - base};
  if (int8_) {
    layer.ffn_in.RunInt8(kernels_, From(ws_.x_q, base, spec_.hidden), nullptr, 0, scratch.ffn, ws_.ffn_rows, activation,
                         local);
  } else {
    layer.ffn_in.RunF32(kernels_, stream.x + base * ws_.hidden_rows * kLanes, ws_.hidden_rows, nullptr, 0, scratch.ffn,
                        ws_.ffn_rows, activation, local);
  }
}

void ForwardPass::QuantizeFeed(int64_t begin, int64_t end, const BlockScratch& scratch, int64_t base) {
  if (!int8_) return;
  for (int64_t panel = begin; panel < end; ++panel) {
    const QuantizedPanels q = From(scratch.ffn_q, panel - base, spec_.ffn);
    kernels_.quantize.run(
        {scratch.ffn + (panel - base) * ws_.ffn_rows * kLanes, nullptr, nullptr, q.q, q.scale, q.zero, spec_.ffn});
  }
}

void ForwardPass::FeedOut(const Stream& stream, const Layer& layer, const BlockScratch& scratch, int64_t base,
                          const Linear::Range& range) {
  const int64_t offset = base * ws_.hidden_rows * kLanes;
  const Linear::Range local = {range.group_begin, range.group_end, range.panel_begin - base, range.panel_end - base};
  if (int8_) {
    layer.ffn_out.RunInt8(kernels_, scratch.ffn_q, stream.x + offset, ws_.hidden_rows, ws_.sum + offset,
                          ws_.hidden_rows, Activation::kIdentity, local);
  } else {
    layer.ffn_out.RunF32(kernels_, scratch.ffn, ws_.ffn_rows, stream.x + offset, ws_.hidden_rows, ws_.sum + offset,
                         ws_.hidden_rows, Activation::kIdentity, local);
  }
}

void ForwardPass::HeadOutput(const Stream& stream, int thread) {
  Barrier& barrier = model_.barrier_;
  if (output_ == LIMBECK_LOGITS) {
    const float* input = stream.x;
    if (spec_.head_dense >= 0) {
      model_.head_dense_.RunF32(kernels_, input, ws_.hidden_rows, nullptr, 0, ws_.head, ws_.hidden_rows,
                                static_cast<Activation>(spec_.head_dense), Share(model_.head_dense_, stream, thread));
      barrier.Wait();
      input = ws_.head;
    }
    const int64_t begin = SplitAt(stream.panels, threads_, thread);
    const int64_t end = SplitAt(stream.panels, threads_, thread + 1);
    model_.classifier_.RunF32(kernels_, input, ws_.hidden_rows, nullptr, 0, ws_.logits, ws_.label_rows,
                              Activation::kIdentity, {0, model_.classifier_.groups(), begin, end});
    const int64_t rows = spec_.head_kind == LIMBECK_HEAD_SEQUENCE ? batch_.sequences : batch_.tokens;
    for (int64_t panel = begin; panel < end; ++panel) {
      WriteTokens(ws_.logits, ws_.label_rows, spec_.labels, rows, panel);
    }
    return;
  }
  if (output_ == LIMBECK_HIDDEN || output_ == LIMBECK_POOLED_CLS) {
    const int64_t rows = output_ == LIMBECK_HIDDEN ? batch_.tokens : batch_.sequences;
    for (int64_t panel = thread; panel < stream.panels; panel += threads_) {
      WriteTokens(stream.x, ws_.hidden_rows, spec_.hidden, rows, panel);
    }
    return;
  }
  for (int64_t b = thread; b < batch_.sequences; b += threads_) WritePooled(b);
}

void ForwardPass::WriteTokens(const float* panels, int64_t panel_rows, int64_t width, int64_t tokens, int64_t panel) {
  const float* from = panels + panel * panel_rows * kLanes;
  const int64_t lanes = std::min<int64_t>(kLanes, tokens - panel * kLanes);
  for (int64_t lane = 0; lane < lanes; ++lane) {
    float* to = out_ + (panel * kLanes + lane) * width;
    for (int64_t c = 0; c < width; ++c) to[c] = from[c * kLanes + lane];
  }
}

void ForwardPass::WritePooled(int64_t sequence) {
  const int64_t hidden = spec_.hidden;
  const int64_t begin = batch_.cu_seqlens[sequence];
  const int64_t end = batch_.cu_seqlens[sequence + 1];
  float* to = out_ + sequence * hidden;
  for (int64_t c = 0; c < hidden; ++c) to[c] = ws_.x[At(ws_.hidden_rows, begin, c)];
  for (int64_t token = begin + 1; token < end; ++token) {
    for (int64_t c = 0; c < hidden; ++c) {
      const float value = ws_.x[At(ws_.hidden_rows, token, c)];
      to[c] = output_ == LIMBECK_POOLED_MAX ? std::max(to[c], value) : to[c] + value;
    }
  }
  if (output_ != LIMBECK_POOLED_MEAN) return;
  const float length = static_cast<float>(end - begin);
  for (int64_t c = 0; c < hidden; ++c) to[c] = to[c] / length;
}

}  // namespace limbeck
