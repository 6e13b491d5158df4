#include "bench/bench.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <random>

#include "base/error.h"
#include "bench/peak.h"
#include "model/workspace.h"
#include "ops/linear.h"

namespace limbeck {
namespace {

double Now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Seconds of each pass, after one that warms up, for at least `seconds`.
template <typename Work>
std::vector<double> Repeat(double seconds, Work work) {
  work();
  std::vector<double> taken;
  const double begin = Now();
  for (double start = begin; taken.size() < 3 || start - begin < seconds;) {
    work();
    const double end = Now();
    taken.push_back(end - start);
    start = end;
  }
  return taken;
}

// Operands of a layer, with room for one matrix.
struct Operands {
  explicit Operands(const LinearCase& layer) : random(1) {
    const auto count = static_cast<size_t>(layer.rows * layer.cols);
    matrix.rows = layer.rows;
    matrix.cols = layer.cols;
    bias.assign(static_cast<size_t>(layer.rows), 0.1f);
    matrix.bias = bias.data();
    if (layer.arithmetic != Arithmetic::kInt8) {
      std::uniform_real_distribution<float> draw(-1, 1);
      floats.resize(count);
      for (float& value : floats) value = draw(random);
      matrix.f32 = floats.data();
      return;
    }
    bytes.assign(count, 0);
    scale.assign(static_cast<size_t>(layer.rows), 0.01f);
    matrix.s8 = bytes.data();
    matrix.scale = scale.data();
    const int64_t height = std::max(layer.block_rows, 1);
    std::uniform_real_distribution<double> share(0, 1);
    // Spread as trained weights are whose largest is 127 in a row of some hundreds, and none zero.
    std::normal_distribution<float> spread(0, 38);
    const auto value = [&] {
      const auto drawn = static_cast<int>(std::lrint(std::clamp(spread(random), -127.0f, 127.0f)));
      return static_cast<int8_t>(drawn == 0 ? 1 : drawn);
    };
    for (int64_t row = 0; row < layer.rows; row += height) {
      for (int64_t col = 0; col < layer.cols; col += kQuad) {
        if (layer.block_rows > 0 && share(random) >= layer.density) continue;
        for (int64_t r = row; r < std::min(row + height, layer.rows); ++r) {
          for (int64_t c = col; c < std::min(col + kQuad, layer.cols); ++c) {
            bytes[static_cast<size_t>(r * layer.cols + c)] = value();
          }
        }
      }
    }
  }

  std::mt19937 random;
  MatrixView matrix;
  std::vector<float> bias;
  std::vector<float> floats;
  std::vector<int8_t> bytes;
  std::vector<float> scale;
};

}  // namespace

LinearTiming TimeLinear(const LinearCase& layer, Isa isa, double seconds) {
  if (layer.rows < 1 || layer.cols < 1 || layer.tokens < 1) throw Error("sizes must be at least 1");
  if (!(layer.density > 0 && layer.density <= 1)) throw Error("the density must be above 0 and at most 1");
  if (layer.block_rows != 0 &&
      std::find(std::begin(kBlockHeights), std::end(kBlockHeights), layer.block_rows) == std::end(kBlockHeights)) {
    throw Error("blocks have 1, 2, 4 or 8 rows");
  }
  Operands operands(layer);
  const std::vector<MatrixView> stacked = {operands.matrix};
  const Linear::Plan plan = Linear::MakePlan(stacked, layer.arithmetic, SparseCosts::Only(layer.block_rows), isa);
  const int64_t panels = RoundUp(layer.tokens, kLanes) / kLanes;
  const int64_t padded = RoundUp(layer.rows, kRowGroup);
  const int64_t input_bytes = panels * RoundUp(layer.cols, kQuad) * kLanes;
  const int64_t paired = RoundUp(layer.cols, kPair);
  Slab slab(plan.bytes + Slab::Need<uint16_t>(panels * paired * kLanes) + Slab::Need<float>(panels * padded * kLanes) +
            Slab::Need<uint8_t>(input_bytes) + Slab::Need<float>(panels * layer.cols * kLanes) +
            Slab::Need<float>(panels * kLanes) + Slab::Need<int32_t>(panels * kLanes));
  const Linear linear = Linear::Pack(stacked, plan, slab);
  auto* out = slab.Take<float>(panels * padded * kLanes);
  QuantizedPanels input = {slab.Take<uint8_t>(input_bytes), nullptr, nullptr};
  auto* floats = slab.Take<float>(panels * layer.cols * kLanes);
  input.scale = slab.Take<float>(panels * kLanes);
  input.zero = slab.Take<int32_t>(panels * kLanes);
  std::uniform_int_distribution<int> byte(0, 255);
  for (int64_t i = 0; i < input_bytes; ++i) input.q[i] = static_cast<uint8_t>(byte(operands.random));
  for (int64_t i = 0; i < panels * layer.cols * kLanes; ++i) floats[i] = 0.5f;
  for (int64_t i = 0; i < panels * kLanes; ++i) {
    input.scale[i] = 0.01f;
    input.zero[i] = 128;
  }
  const Kernels kernels = ChooseKernels(isa);
  auto* pairs = slab.Take<uint16_t>(panels * paired * kLanes);
  for (int64_t panel = 0; panel < panels; ++panel) {
    kernels.round_bf16.run(floats + panel * layer.cols * kLanes, layer.cols, pairs + panel * paired * kLanes);
  }
  LinearTiming timing;
  timing.operations = static_cast<double>(linear.operations_per_panel()) * static_cast<double>(panels);
  // In blocks of panels, as a model's layers run.
  timing.seconds = Repeat(seconds, [&] {
    for (int64_t panel = 0; panel < panels; panel += kBlockPanels) {
      const Linear::Range range = {0, linear.groups(), panel, std::min(panel + kBlockPanels, panels)};
      switch (layer.arithmetic) {
        case Arithmetic::kF32:
          linear.RunF32(kernels, floats, layer.cols, nullptr, 0, out, padded, Activation::kIdentity, range);
          break;
        case Arithmetic::kBf16:
          linear.RunBf16(kernels, pairs, paired, nullptr, out, nullptr, padded, Activation::kIdentity, range);
          break;
        case Arithmetic::kInt8:
          linear.RunInt8(kernels, input, {padded, out}, range);
          break;
      }
    }
  });
  return timing;
}

double PeakOperations(Isa isa, Arithmetic arithmetic, double seconds) {
#if defined(__x86_64__)
  PeakFn run = nullptr;
  if (arithmetic == Arithmetic::kBf16) {
    if (ChooseKernels(isa).gemm_bf16.isa == Isa::kReference) throw Error("this CPU lacks AVX512-BF16");
    run = PeakBf16Avx512;
  } else if (arithmetic == Arithmetic::kInt8) {
    run = isa == Isa::kAvx512Vnni ? PeakInt8Avx512Vnni : isa == Isa::kAvxVnni ? PeakInt8AvxVnni : PeakInt8Avx2;
  } else {
    run = isa == Isa::kAvx512Vnni ? PeakF32Avx512 : PeakF32Avx2;
  }
  if (isa == Isa::kReference) throw Error("the portable kernels have no peak to be compared with");
  constexpr int64_t kRounds = 200000;
  double operations = 0;
  volatile float sink = 0;
  const std::vector<double> taken = Repeat(seconds, [&] {
    const PeakRun done = run(kRounds);
    operations = done.operations;
    sink = done.value;
  });
  (void)sink;
  return operations / *std::min_element(taken.begin(), taken.end());
#else
  (void)isa, (void)arithmetic, (void)seconds;
  throw Error("the peak of this architecture is not known");
#endif
}

}  // namespace limbeck
