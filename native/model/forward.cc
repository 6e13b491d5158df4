#include "model/forward.h"

#include <algorithm>
#include <cmath>

namespace limbeck {
namespace {

// Tokens that a thread carries through all layers at a time: the activations of so many stay near its core.
constexpr int64_t kPartTokens = kBlockPanels * kLanes;
// Threads part ways if the one with most to do has at most so much more than its share.
constexpr double kMostUneven = 1.1;

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

// `range` in buffers whose panel 0 is panel `base`.
Linear::Range Local(const Linear::Range& range, int64_t base) {
  return {range.group_begin, range.group_end, range.panel_begin - base, range.panel_end - base};
}

int64_t Operations(const Linear& linear, const Linear::Range& range) {
  const int64_t all = linear.operations_per_panel() * (range.panel_end - range.panel_begin);
  return all * (range.group_end - range.group_begin) / linear.groups();
}

}  // namespace

ForwardPass::ForwardPass(Model& model, Instance& instance, const BatchView& batch, int32_t output, float* out,
                         Profile* profile)
    : model_(model),
      spec_(model.spec_),
      kernels_(model.kernels_),
      barrier_(instance.barrier),
      ws_(instance.workspace),
      batch_(batch),
      output_(output),
      out_(out),
      profile_(profile),
      rows_(model.spec_),
      threads_(instance.pool.threads()),
      arithmetic_(ArithmeticOf(spec_.precision)),
      first_only_(output == LIMBECK_POOLED_CLS ||
                  (output == LIMBECK_LOGITS && spec_.head_kind == LIMBECK_HEAD_SEQUENCE)) {
  for (std::atomic<int64_t>& counter : counters_) counter.store(0, std::memory_order_relaxed);
  MakeParts();
  int64_t longest = 0;
  for (int64_t b = 0; b < batch.sequences; ++b) {
    longest = std::max<int64_t>(longest, batch.cu_seqlens[b + 1] - batch.cu_seqlens[b]);
  }
  int64_t tokens = 0;
  for (const Part& part : ws_.parts) tokens = std::max(tokens, part.tokens);
  areas_ = together_ ? 1 : static_cast<int>(std::min<int64_t>(threads_, std::ssize(ws_.parts)));
  ws_.areas.resize(static_cast<size_t>(threads_));
  for (int i = 0; i < areas_; ++i) {
    ws_.areas[static_cast<size_t>(i)].Plan(spec_, tokens, true, spec_.head_kind == LIMBECK_HEAD_TOKEN);
  }
  if (first_only_) ws_.first.Plan(spec_, batch.sequences, false, spec_.head_kind == LIMBECK_HEAD_SEQUENCE);
  ws_.scratch.resize(static_cast<size_t>(threads_));
  for (Scratch& scratch : ws_.scratch) scratch.Plan(spec_, longest);
}

void ForwardPass::MakeParts() {
  std::vector<Part>& parts = ws_.parts;
  parts.clear();
  for (int64_t b = 0; b < batch_.sequences; ++b) {
    const int64_t length = batch_.cu_seqlens[b + 1] - batch_.cu_seqlens[b];
    if (parts.empty() || parts.back().tokens + length > kPartTokens) {
      parts.push_back({b, b, batch_.cu_seqlens[b], 0});
    }
    parts.back().sequence_end = b + 1;
    parts.back().tokens += length;
  }
  if (threads_ == 1) return;
  // As the threads will take them: each part goes to whoever is done first.
  ws_.loads.assign(static_cast<size_t>(threads_), 0);
  for (const Part& part : parts) *std::min_element(ws_.loads.begin(), ws_.loads.end()) += part.tokens;
  const double most = static_cast<double>(*std::max_element(ws_.loads.begin(), ws_.loads.end()));
  if (most * threads_ <= kMostUneven * static_cast<double>(batch_.tokens)) return;
  together_ = true;
  parts.assign(1, {0, batch_.sequences, 0, batch_.tokens});
}

ForwardPass::Stream ForwardPass::MakeStream(const Area& area, int64_t tokens) const {
  Stream stream;
  stream.area = &area;
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

Linear::Range ForwardPass::Share(const Linear& linear, int64_t panels, int thread) const {
  return {linear.SplitGroups(threads_, thread), linear.SplitGroups(threads_, thread + 1), 0, panels};
}

void ForwardPass::Wait(int thread) {
  const Span span(profile_, thread, LIMBECK_OP_WAIT, -1);
  barrier_.Wait();
}

void ForwardPass::Run(int thread) {
  if (together_) {
    RunTogether(ws_.parts.front(), thread);
    return;
  }
  if (thread < areas_) {  // with more threads than parts, the others have nothing to carry one in
    const int64_t parts = std::ssize(ws_.parts);
    for (int64_t part; (part = counters_[0].fetch_add(1)) < parts;) {
      RunPart(ws_.parts[static_cast<size_t>(part)], thread);
    }
  }
  if (!first_only_) return;
  Wait(thread);
  RunFirst(thread, counters_[1]);
}

void ForwardPass::RunPart(const Part& part, int thread) {
  const Area& area = ws_.areas[static_cast<size_t>(thread)];
  const int layers = static_cast<int>(model_.layers_.size());
  const int64_t panels = part.panels();
  const auto blocks = [&](int layer, auto work) {
    for (int64_t begin = 0; begin < panels; begin += kBlockPanels) {
      const int64_t end = std::min(begin + kBlockPanels, panels);
      work(Work{&area, &ws_.scratch[static_cast<size_t>(thread)], begin, begin, end, thread, layer});
    }
  };
  SetPositions(area, part);
  for (int64_t panel = 0; panel < panels; ++panel) Embed(area, part, panel, thread);
  blocks(-1, [&](const Work& work) {
    const Linear& qkv = model_.layers_.front().qkv;
    QueriesKeysValues(work, model_.layers_.front(), {0, qkv.groups(), work.begin, work.end});
  });
  for (int layer = 0; layer < layers; ++layer) {
    const bool narrow = layer + 1 == layers && first_only_;
    const int64_t items = (part.sequence_end - part.sequence_begin) * spec_.heads;
    for (int64_t item = 0; item < items; ++item) Attend(area, part, item, narrow, thread, layer);
    if (narrow) {
      GatherFirst(area, part, part.sequence_begin, part.sequence_end);
      return;
    }
    blocks(layer, [&](const Work& work) { TokenWiseBlock(work); });
  }
  if (output_ == LIMBECK_LOGITS) {
    if (spec_.head_dense >= 0) HeadDense(area, {0, model_.head_dense_.groups(), 0, panels});
    Classify(area, part.token_begin, part.tokens, 0, panels);
  } else if (output_ == LIMBECK_HIDDEN) {
    for (int64_t panel = 0; panel < panels; ++panel) {
      WriteTokens(area.x, rows_.hidden, spec_.hidden, part.token_begin, part.tokens, panel);
    }
  } else {
    for (int64_t b = part.sequence_begin; b < part.sequence_end; ++b) WritePooled(area, part, b);
  }
}

void ForwardPass::RunTogether(const Part& all, int thread) {
  int stage = 0;
  const auto next_counter = [&]() -> std::atomic<int64_t>& {
    counters_[(stage + 2) % kCounters].store(0, std::memory_order_relaxed);
    return counters_[stage++ % kCounters];
  };
  const Area& area = ws_.areas.front();
  const int layers = static_cast<int>(model_.layers_.size());
  const Stream stream = MakeStream(area, all.tokens);
  const Scratch* scratch = &ws_.scratch.front();

  if (thread == 0) SetPositions(area, all);
  Wait(thread);
  std::atomic<int64_t>& embed = next_counter();
  for (int64_t panel; (panel = embed.fetch_add(1)) < stream.panels;) Embed(area, all, panel, thread);
  Wait(thread);
  const Layer& front = model_.layers_.front();
  QueriesKeysValues({&area, scratch, 0, 0, stream.panels, thread, -1}, front, Share(front.qkv, stream.panels, thread));
  Wait(thread);
  for (int layer = 0; layer < layers; ++layer) {
    const bool narrow = layer + 1 == layers && first_only_;
    std::atomic<int64_t>& attend = next_counter();
    const int64_t items = batch_.sequences * spec_.heads;
    const int64_t gathers = narrow ? batch_.sequences : 0;
    for (int64_t item; (item = attend.fetch_add(1)) < items + gathers;) {
      if (item < items) {
        Attend(area, all, item, narrow, thread, layer);
      } else {
        GatherFirst(area, all, item - items, item - items + 1);
      }
    }
    Wait(thread);
    if (narrow) {
      RunFirst(thread, next_counter());
      return;
    }
    TokenWise(stream, layer, thread, next_counter());
    Wait(thread);
  }
  const int64_t begin = SplitAt(stream.panels, threads_, thread);
  const int64_t end = SplitAt(stream.panels, threads_, thread + 1);
  if (output_ == LIMBECK_LOGITS) {
    if (spec_.head_dense >= 0) {
      HeadDense(area, Share(model_.head_dense_, stream.panels, thread));
      Wait(thread);
    }
    Classify(area, 0, all.tokens, begin, end);
  } else if (output_ == LIMBECK_HIDDEN) {
    for (int64_t panel = begin; panel < end; ++panel) {
      WriteTokens(area.x, rows_.hidden, spec_.hidden, 0, all.tokens, panel);
    }
  } else {
    for (int64_t b = thread; b < batch_.sequences; b += threads_) WritePooled(area, all, b);
  }
}

// The last layer behind its attention, and the head, for the first token of every sequence.
void ForwardPass::RunFirst(int thread, std::atomic<int64_t>& counter) {
  const Area& area = ws_.first;
  const Stream stream = MakeStream(area, batch_.sequences);
  const int64_t begin = SplitAt(stream.panels, threads_, thread);
  const int64_t end = SplitAt(stream.panels, threads_, thread + 1);
  TokenWise(stream, static_cast<int>(model_.layers_.size()) - 1, thread, counter);
  Wait(thread);
  if (output_ == LIMBECK_POOLED_CLS) {
    for (int64_t panel = begin; panel < end; ++panel) {
      WriteTokens(area.x, rows_.hidden, spec_.hidden, 0, batch_.sequences, panel);
    }
    return;
  }
  if (spec_.head_dense >= 0) {
    HeadDense(area, Share(model_.head_dense_, stream.panels, thread));
    Wait(thread);
  }
  Classify(area, 0, batch_.sequences, begin, end);
}

void ForwardPass::SetPositions(const Area& area, const Part& part) {
  for (int64_t b = part.sequence_begin; b < part.sequence_end; ++b) {
    int32_t counted = 0;
    for (int32_t t = batch_.cu_seqlens[b]; t < batch_.cu_seqlens[b + 1]; ++t) {
      int32_t position = t - batch_.cu_seqlens[b];
      if (spec_.position_mode == LIMBECK_AFTER_PADDING) {
        position = batch_.ids[t] == spec_.pad_id ? spec_.pad_id : spec_.pad_id + ++counted;
      }
      area.positions[t - part.token_begin] = position;
    }
  }
}

void ForwardPass::Embed(const Area& area, const Part& part, int64_t panel, int thread) {
  const Span span(profile_, thread, LIMBECK_OP_EMBED, -1);
  const Embeddings& tables = model_.embeddings_;
  const int64_t hidden = spec_.hidden;
  float* x = area.x + panel * rows_.hidden * kLanes;
  for (int64_t lane = 0; lane < kLanes; ++lane) {
    const int64_t token = panel * kLanes + lane;
    if (token >= part.tokens) {
      for (int64_t c = 0; c < hidden; ++c) x[c * kLanes + lane] = 0.0f;
      continue;
    }
    const int64_t id = batch_.ids[part.token_begin + token];
    const float* position = tables.position + area.positions[token] * hidden;
    const float* type = nullptr;
    if (tables.type != nullptr) {
      type = tables.type + (batch_.type_ids == nullptr ? 0 : batch_.type_ids[part.token_begin + token]) * hidden;
    }
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
                              area.low + panel * kLanes,
                              area.high + panel * kLanes,
                              hidden,
                              spec_.norm_eps};
  kernels_.layer_norm.run(args);
  RoundInput(area, panel, model_.layers_.front().qkv_range);
}

// A panel of x as the next layer's input, in the numbers that it multiplies.
void ForwardPass::RoundInput(const Area& area, int64_t panel, const StaticRange& range) {
  const int64_t offset = panel * rows_.hidden * kLanes;
  if (arithmetic_ == Arithmetic::kBf16) kernels_.round_bf16.run(area.x + offset, spec_.hidden, area.x_pairs + offset);
  if (arithmetic_ != Arithmetic::kInt8) return;
  const QuantizedPanels q = From(area.x_q, panel, spec_.hidden);
  const bool fixed = range.low != nullptr;
  kernels_.quantize.run({area.x + offset, fixed ? range.low : area.low + panel * kLanes,
                         fixed ? range.high : area.high + panel * kLanes, q.q, q.scale, q.zero, spec_.hidden, nullptr,
                         fixed});
}

void ForwardPass::Attend(const Area& area, const Part& part, int64_t item, bool first_only, int thread, int layer) {
  const int64_t sequence = part.sequence_begin + item / spec_.heads;
  const int64_t head = item % spec_.heads;
  const int64_t width = spec_.hidden / spec_.heads;
  AttentionArgs args;
  args.in = area.qkv;
  args.in_rows = rows_.qkv;
  args.query_row = head * width;
  args.key_row = spec_.hidden + head * width;
  args.value_row = 2 * spec_.hidden + head * width;
  args.head_width = width;
  args.scale = 1.0f / std::sqrt(static_cast<float>(width));
  args.first_token = batch_.cu_seqlens[sequence] - part.token_begin;
  args.length = batch_.cu_seqlens[sequence + 1] - batch_.cu_seqlens[sequence];
  args.queries = first_only ? 1 : args.length;
  args.out = first_only ? ws_.first.context : area.context;
  args.out_rows = rows_.hidden;
  args.out_row = head * width;
  args.out_token = first_only ? sequence : args.first_token;
  args.scratch = ws_.scratch[static_cast<size_t>(thread)].attention;
  const Span span(profile_, thread, LIMBECK_OP_ATTENTION, layer, 4 * args.length * args.queries * width);
  (arithmetic_ == Arithmetic::kInt8 ? kernels_.attention_s16 : kernels_.attention).run(args);
}

void ForwardPass::GatherFirst(const Area& area, const Part& part, int64_t begin, int64_t end) {
  // The lanes behind the last sequence belong to nobody; they are given numbers all the same.
  const int64_t lanes = end == batch_.sequences ? RoundUp(end, kLanes) : end;
  for (int64_t sequence = begin; sequence < lanes; ++sequence) {
    const int64_t token = sequence < end ? batch_.cu_seqlens[sequence] - part.token_begin : 0;
    for (int64_t c = 0; c < spec_.hidden; ++c) {
      ws_.first.x[At(rows_.hidden, sequence, c)] = sequence < end ? area.x[At(rows_.hidden, token, c)] : 0.0f;
    }
  }
}

void ForwardPass::TokenWise(const Stream& stream, int layer, int thread, std::atomic<int64_t>& counter) {
  if (stream.split_rows) {
    TokenWiseSplit(stream, layer, thread);
    return;
  }
  for (int64_t block; (block = counter.fetch_add(1)) < stream.blocks;) {
    const int64_t begin = block * stream.block_panels;
    const int64_t end = std::min(begin + stream.block_panels, stream.panels);
    TokenWiseBlock({stream.area, &ws_.scratch[static_cast<size_t>(thread)], begin, begin, end, thread, layer});
  }
}

void ForwardPass::TokenWiseBlock(const Work& work) {
  const Layer& layer = model_.layers_[static_cast<size_t>(work.layer)];
  const auto range = [&](const Linear& linear) { return Linear::Range{0, linear.groups(), work.begin, work.end}; };
  RoundContext(work);
  Project(work, range(layer.output));
  Normalize(work, layer.attention_norm, &layer.ffn_in_range);
  PrepareFeed(work, work);
  FeedIn(work, range(layer.ffn_in));
  QuantizeFeed(work, 1);
  FeedOut(work, range(layer.ffn_out));
  const auto number = static_cast<size_t>(work.layer) + 1;
  const Layer* next = number < model_.layers_.size() ? &model_.layers_[number] : nullptr;
  Normalize(work, layer.ffn_norm, next == nullptr ? nullptr : &next->qkv_range);
  if (next != nullptr) QueriesKeysValues(work, *next, range(next->qkv));
}

void ForwardPass::TokenWiseSplit(const Stream& stream, int layer_number, int thread) {
  const Layer& layer = model_.layers_[static_cast<size_t>(layer_number)];
  const Scratch* scratch = &ws_.scratch.front();
  // Own panels for what goes token by token, all of them for a share of a linear layer's rows.
  const Work own = {stream.area,
                    scratch,
                    0,
                    SplitAt(stream.panels, threads_, thread),
                    SplitAt(stream.panels, threads_, thread + 1),
                    thread,
                    layer_number};
  const Work all = {stream.area, scratch, 0, 0, stream.panels, thread, layer_number};
  if (arithmetic_ != Arithmetic::kF32) {
    RoundContext(own);
    Wait(thread);
  }
  Project(all, Share(layer.output, stream.panels, thread));
  Wait(thread);
  Normalize(own, layer.attention_norm, &layer.ffn_in_range);
  PrepareFeed(all, own);
  Wait(thread);
  FeedIn(all, Share(layer.ffn_in, stream.panels, thread));
  Wait(thread);
  if (arithmetic_ == Arithmetic::kInt8 && layer.ffn_out_range.low == nullptr) {
    QuantizeFeed(own, threads_);
    Wait(thread);
  }
  FeedOut(all, Share(layer.ffn_out, stream.panels, thread));
  Wait(thread);
  const auto number = static_cast<size_t>(layer_number) + 1;
  const Layer* next = number < model_.layers_.size() ? &model_.layers_[number] : nullptr;
  Normalize(own, layer.ffn_norm, next == nullptr ? nullptr : &next->qkv_range);
  if (next == nullptr) return;
  Wait(thread);
  QueriesKeysValues(all, *next, Share(next->qkv, stream.panels, thread));
}

// What attention found as the projection's input, in the numbers that it multiplies.
void ForwardPass::RoundContext(const Work& work) {
  if (arithmetic_ == Arithmetic::kF32) return;
  const Span span(profile_, work.thread, LIMBECK_OP_QUANTIZE, work.layer);
  for (int64_t panel = work.begin; panel < work.end; ++panel) {
    const float* context = work.area->context + panel * rows_.hidden * kLanes;
    if (arithmetic_ == Arithmetic::kBf16) {
      kernels_.round_bf16.run(context, spec_.hidden,
                              work.scratch->context_pairs + (panel - work.base) * rows_.hidden * kLanes);
      continue;
    }
    const QuantizedPanels q = From(work.scratch->context, panel - work.base, spec_.hidden);
    const StaticRange& range = model_.layers_[static_cast<size_t>(work.layer)].output_range;
    kernels_.quantize.run(
        {context, range.low, range.high, q.q, q.scale, q.zero, spec_.hidden, nullptr, range.low != nullptr});
  }
}

void ForwardPass::Project(const Work& work, const Linear::Range& range) {
  const Linear& linear = model_.layers_[static_cast<size_t>(work.layer)].output;
  const Span span(profile_, work.thread, LIMBECK_OP_PROJECT, work.layer, Operations(linear, range));
  const int64_t offset = work.base * rows_.hidden * kLanes;
  AddResidual(work, linear, range, {work.area->context + offset, work.scratch->context_pairs, work.scratch->context},
              rows_.hidden);
}

// x plus what `linear` makes of `inputs`, panels of input_rows, of which those are there that the layer multiplies.
void ForwardPass::AddResidual(const Work& work, const Linear& linear, const Linear::Range& range, const Inputs& inputs,
                              int64_t input_rows) {
  const Linear::Range local = Local(range, work.base);
  const int64_t offset = work.base * rows_.hidden * kLanes;
  const float* x = work.area->x + offset;
  float* sum = work.area->sum + offset;
  switch (arithmetic_) {
    case Arithmetic::kF32:
      return linear.RunF32(kernels_, inputs.f32, input_rows, x, rows_.hidden, sum, rows_.hidden, Activation::kIdentity,
                           local);
    case Arithmetic::kBf16:
      return linear.RunBf16(kernels_, inputs.pairs, input_rows, x, sum, nullptr, rows_.hidden, Activation::kIdentity,
                            local);
    case Arithmetic::kInt8:
      return linear.RunInt8(kernels_, inputs.q, {rows_.hidden, sum, x}, local);
  }
}

void ForwardPass::Normalize(const Work& work, const Norm& norm, const StaticRange* next) {
  const Span span(profile_, work.thread, LIMBECK_OP_NORM, work.layer);
  const Area& area = *work.area;
  for (int64_t panel = work.begin; panel < work.end; ++panel) {
    const int64_t offset = panel * rows_.hidden * kLanes;
    const LayerNormArgs args = {
        area.sum + offset,          area.x + offset, norm.gain,     norm.bias, area.low + panel * kLanes,
        area.high + panel * kLanes, spec_.hidden,    spec_.norm_eps};
    kernels_.layer_norm.run(args);
    if (next != nullptr) RoundInput(area, panel, *next);
  }
}

// Makes ready what FeedIn writes beside its outputs: the thread's own note of their range, for all panels; or, where
// the range is fixed, the scales of `own`, which the threads share out.
void ForwardPass::PrepareFeed(const Work& all, const Work& own) {
  if (arithmetic_ != Arithmetic::kInt8) return;
  const StaticRange& range = model_.layers_[static_cast<size_t>(own.layer)].ffn_out_range;
  if (range.low == nullptr) {
    const Scratch& scratch = ws_.scratch[static_cast<size_t>(all.thread)];
    std::fill_n(scratch.ffn_low, (all.end - all.base) * kLanes, 0.0f);
    std::fill_n(scratch.ffn_high, (all.end - all.base) * kLanes, 0.0f);
    return;
  }
  const QuantizedPanels& feed = own.scratch->ffn_q;
  const int64_t first = (own.begin - own.base) * kLanes;
  std::fill_n(feed.scale + first, (own.end - own.begin) * kLanes, range.scale);
  std::fill_n(feed.zero + first, (own.end - own.begin) * kLanes, range.zero);
}

void ForwardPass::FeedIn(const Work& work, const Linear::Range& range) {
  const Layer& layer = model_.layers_[static_cast<size_t>(work.layer)];
  const Linear& linear = layer.ffn_in;
  const Span span(profile_, work.thread, LIMBECK_OP_FFN_IN, work.layer, Operations(linear, range));
  const auto activation = static_cast<Activation>(spec_.activation);
  const int64_t offset = work.base * rows_.hidden * kLanes;
  const Linear::Range local = Local(range, work.base);
  const Scratch& own = ws_.scratch[static_cast<size_t>(work.thread)];
  switch (arithmetic_) {
    case Arithmetic::kF32:
      return linear.RunF32(kernels_, work.area->x + offset, rows_.hidden, nullptr, 0, work.scratch->ffn, rows_.ffn,
                           activation, local);
    case Arithmetic::kBf16:
      return linear.RunBf16(kernels_, work.area->x_pairs + offset, rows_.hidden, nullptr, nullptr,
                            work.scratch->ffn_pairs, rows_.ffn, activation, local);
    case Arithmetic::kInt8:
      break;
  }
  Linear::Target target = {rows_.ffn,   nullptr,      nullptr,   work.scratch->ffn_staged,
                           own.ffn_low, own.ffn_high, activation};
  if (const StaticRange& known = layer.ffn_out_range; known.low != nullptr) {
    target.fixed = {work.scratch->ffn_q.q, RoundUp(spec_.ffn, kQuad) / kQuad,
                    known.low[0],          known.high[0],
                    known.inverse,         known.zero};
  }
  linear.RunInt8(kernels_, From(work.area->x_q, work.base, spec_.hidden), target, local);
}

// `threads`: how many have computed rows of these panels.
void ForwardPass::QuantizeFeed(const Work& work, int threads) {
  if (arithmetic_ != Arithmetic::kInt8) return;
  if (model_.layers_[static_cast<size_t>(work.layer)].ffn_out_range.low != nullptr) return;  // FeedIn did it
  const Span span(profile_, work.thread, LIMBECK_OP_QUANTIZE, work.layer);
  for (int64_t panel = work.begin - work.base; panel < work.end - work.base; ++panel) {
    const float* low = ws_.scratch[static_cast<size_t>(work.thread)].ffn_low + panel * kLanes;
    const float* high = ws_.scratch[static_cast<size_t>(work.thread)].ffn_high + panel * kLanes;
    float lowest[kLanes];
    float highest[kLanes];
    if (threads > 1) {
      std::fill_n(lowest, kLanes, 0.0f);
      std::fill_n(highest, kLanes, 0.0f);
      for (int i = 0; i < threads; ++i) {
        const Scratch& other = ws_.scratch[static_cast<size_t>(i)];
        for (int lane = 0; lane < kLanes; ++lane) {
          lowest[lane] = std::min(lowest[lane], other.ffn_low[panel * kLanes + lane]);
          highest[lane] = std::max(highest[lane], other.ffn_high[panel * kLanes + lane]);
        }
      }
      low = lowest;
      high = highest;
    }
    const QuantizedPanels q = From(work.scratch->ffn_q, panel, spec_.ffn);
    kernels_.quantize.run(
        {nullptr, low, high, q.q, q.scale, q.zero, spec_.ffn, work.scratch->ffn_staged + panel * rows_.ffn * kLanes});
  }
}

void ForwardPass::FeedOut(const Work& work, const Linear::Range& range) {
  const Linear& linear = model_.layers_[static_cast<size_t>(work.layer)].ffn_out;
  const Span span(profile_, work.thread, LIMBECK_OP_FFN_OUT, work.layer, Operations(linear, range));
  AddResidual(work, linear, range, {work.scratch->ffn, work.scratch->ffn_pairs, work.scratch->ffn_q}, rows_.ffn);
}

void ForwardPass::QueriesKeysValues(const Work& work, const Layer& layer, const Linear::Range& range) {
  const Span span(profile_, work.thread, LIMBECK_OP_QKV, work.layer + 1, Operations(layer.qkv, range));
  const Area& area = *work.area;
  switch (arithmetic_) {
    case Arithmetic::kF32:
      return layer.qkv.RunF32(kernels_, area.x, rows_.hidden, nullptr, 0, area.qkv, rows_.qkv, Activation::kIdentity,
                              range);
    case Arithmetic::kBf16:
      return layer.qkv.RunBf16(kernels_, area.x_pairs, rows_.hidden, nullptr, area.qkv, nullptr, rows_.qkv,
                               Activation::kIdentity, range);
    case Arithmetic::kInt8:
      return layer.qkv.RunInt8(kernels_, area.x_q, {rows_.qkv, area.qkv}, range);
  }
}

void ForwardPass::HeadDense(const Area& area, const Linear::Range& range) {
  model_.head_dense_.RunF32(kernels_, area.x, rows_.hidden, nullptr, 0, area.head, rows_.hidden,
                            static_cast<Activation>(spec_.head_dense), range);
}

// Logits of panels begin .. end - 1 of `area`, whose first token (or sequence) is row `token_begin` of the output.
void ForwardPass::Classify(const Area& area, int64_t token_begin, int64_t tokens, int64_t begin, int64_t end) {
  const float* input = spec_.head_dense >= 0 ? area.head : area.x;
  model_.classifier_.RunF32(kernels_, input, rows_.hidden, nullptr, 0, area.logits, rows_.labels, Activation::kIdentity,
                            {0, model_.classifier_.groups(), begin, end});
  for (int64_t panel = begin; panel < end; ++panel) {
    WriteTokens(area.logits, rows_.labels, spec_.labels, token_begin, tokens, panel);
  }
}

void ForwardPass::WriteTokens(const float* panels, int64_t panel_rows, int64_t width, int64_t token_begin,
                              int64_t tokens, int64_t panel) {
  const float* from = panels + panel * panel_rows * kLanes;
  const int64_t lanes = std::min<int64_t>(kLanes, tokens - panel * kLanes);
  for (int64_t lane = 0; lane < lanes; ++lane) {
    float* to = out_ + (token_begin + panel * kLanes + lane) * width;
    for (int64_t c = 0; c < width; ++c) to[c] = from[c * kLanes + lane];
  }
}

void ForwardPass::WritePooled(const Area& area, const Part& part, int64_t sequence) {
  const int64_t hidden = spec_.hidden;
  const int64_t begin = batch_.cu_seqlens[sequence] - part.token_begin;
  const int64_t end = batch_.cu_seqlens[sequence + 1] - part.token_begin;
  float* to = out_ + sequence * hidden;
  for (int64_t c = 0; c < hidden; ++c) to[c] = area.x[At(rows_.hidden, begin, c)];
  for (int64_t token = begin + 1; token < end; ++token) {
    for (int64_t c = 0; c < hidden; ++c) {
      const float value = area.x[At(rows_.hidden, token, c)];
      to[c] = output_ == LIMBECK_POOLED_MAX ? std::max(to[c], value) : to[c] + value;
    }
  }
  if (output_ != LIMBECK_POOLED_MEAN) return;
  const float length = static_cast<float>(end - begin);
  for (int64_t c = 0; c < hidden; ++c) to[c] = to[c] / length;
}

}  // namespace limbeck
