// The reference against 64-bit integer arithmetic on unpacked weights, every kernel against the reference, bit for bit:
// every block height, rows of blocks from empty to full, and the widest layer.
#include <vector>

#include "ops/block_pairs.h"
#include "tests/check.h"
#include "tests/int8_output_case.h"
#include "tests/kernel_cases.h"

namespace {

using namespace limbeck;
using test::Buffer;
using test::Way;
using test::Written;

struct Case {
  int64_t block_rows;
  int64_t panels;
  int64_t groups;
  int64_t quads;
  int64_t slices;
  double density;
  Way way;
  Activation activation;
  bool extreme;
};

struct Operands {
  Operands(const Case& c, test::Random& random)
      : rows(c.groups * kRowGroup),
        weights(static_cast<size_t>(rows * c.quads * kQuad)),
        a(c.panels * c.quads * kLanes * kQuad, 1),
        output(rows, c.panels, random) {
    a.FillIntegers(random, 0, 255);
    if (c.extreme) {
      a.Fill(255);
      output.zero.Fill(0);
    }
    std::uniform_real_distribution<double> share(0, 1);
    std::uniform_int_distribution<int> value(-127, 127);
    for (int64_t slice = 0; slice < c.slices; ++slice) {
      for (int64_t row = 0; row < rows; row += c.block_rows) {
        start.push_back(static_cast<int32_t>(quad.size()));
        // uneven rows: none, all, or about the density
        const double kept = row % 3 == 0 ? c.density : row % 3 == 1 ? 1.0 : 0.0;
        for (int64_t q = c.quads * slice / c.slices; q < c.quads * (slice + 1) / c.slices; ++q) {
          if (share(random) >= kept) continue;
          quad.push_back(static_cast<uint16_t>(q));
          for (int64_t r = 0; r < c.block_rows; ++r) {
            for (int k = 0; k < kQuad; ++k) {
              const int w = c.extreme ? -127 : value(random);
              packed.push_back(static_cast<int8_t>(w));
              weights[static_cast<size_t>(((row + r) * c.quads + q) * kQuad + k)] = w;
              output.row_sum[row + r] += w;
            }
          }
        }
      }
      start.push_back(static_cast<int32_t>(quad.size()));
    }
  }

  int64_t rows;
  std::vector<int> weights;  // [rows][quads * 4]
  std::vector<int32_t> start;
  std::vector<uint16_t> quad;
  std::vector<int8_t> packed;
  std::vector<int32_t> turned;  // none: not in pairs
  std::vector<int32_t> owed;
  Buffer<uint8_t> a;
  test::OutputOperands output;
};

// The same blocks in pairs, as kernels want them that sum in 16 bits.
struct PairedOperands {
  PairedOperands(const Case& c, const Operands& operands)
      : block_rows(std::min<int64_t>(c.block_rows, kMostPairedRows)), owed(static_cast<size_t>(operands.rows)) {
    BlockPairer pairer;
    std::vector<PairedBlock> blocks;
    std::vector<int8_t> block(static_cast<size_t>(block_rows * kQuad));
    const auto read = [&](int64_t row, int64_t q) {
      bool any = false;
      for (int64_t i = 0; i < block_rows * kQuad; ++i) {
        const int w = operands.weights[static_cast<size_t>(((row + i / kQuad) * c.quads + q) * kQuad + i % kQuad)];
        block[static_cast<size_t>(i)] = static_cast<int8_t>(w);
        any |= w != 0;
      }
      return any;
    };
    for (int64_t slice = 0; slice < c.slices; ++slice) {
      for (int64_t row = 0; row < operands.rows; row += block_rows) {
        start.push_back(static_cast<int32_t>(quad.size()));
        for (int64_t q = c.quads * slice / c.slices; q < c.quads * (slice + 1) / c.slices; ++q) {
          if (read(row, q)) pairer.Add(static_cast<uint16_t>(q), block.data(), block_rows);
        }
        blocks.clear();
        turned.push_back(start.back() + static_cast<int32_t>(pairer.Finish(blocks)));
        for (const PairedBlock& paired : blocks) {
          quad.push_back(paired.quad);
          read(row, paired.quad);
          for (int64_t i = 0; i < block_rows * kQuad; ++i) {
            const int8_t w = block[static_cast<size_t>(i)];
            packed.push_back(StoredWeight(paired.part, w, i));
            if (paired.part == BlockPart::kTurned && i % 2 == 1) owed[static_cast<size_t>(row + i / kQuad)] += 255 * w;
          }
        }
      }
      start.push_back(static_cast<int32_t>(quad.size()));
    }
  }

  int64_t block_rows;
  std::vector<int32_t> start;
  std::vector<uint16_t> quad;
  std::vector<int8_t> packed;
  std::vector<int32_t> turned;
  std::vector<int32_t> owed;
};

template <typename T>
void Copy(const std::vector<T>& from, Buffer<T>& to) {
  for (int64_t i = 0; i < to.size(); ++i) to[i] = from[static_cast<size_t>(i)];
}

// `blocks`: Operands or PairedOperands.
template <typename Blocks>
void Run(SpmmU8S8Fn kernel, const Case& c, const Operands& operands, const Blocks& blocks, int64_t block_rows,
         Written& written) {
  const Int8Output output = written.Output(operands.output, c.way, c.activation);
  // exact copies, so that sanitizers see a read beyond an end
  Buffer<int32_t> start(static_cast<int64_t>(blocks.start.size()));
  Buffer<uint16_t> quad(static_cast<int64_t>(blocks.quad.size()));
  Buffer<int8_t> packed(static_cast<int64_t>(blocks.packed.size()));
  Buffer<int32_t> turned(static_cast<int64_t>(blocks.turned.size()));
  Buffer<int32_t> owed(static_cast<int64_t>(blocks.owed.size()));
  Copy(blocks.start, start);
  Copy(blocks.quad, quad);
  Copy(blocks.packed, packed);
  Copy(blocks.turned, turned);
  Copy(blocks.owed, owed);
  const SpmmU8S8Args args = {operands.a.data(), start.data(), quad.data(), packed.data(),
                             c.quads,           c.slices,     block_rows,  operands.rows / block_rows,
                             turned.data(),     owed.data(),  output};
  kernel(args, 0, c.groups, 0, c.panels);
}

void CheckReference(const Case& c, const Operands& operands, const Written& written) {
  for (int64_t row = 0; row < operands.rows; ++row) {
    for (int64_t token = 0; token < c.panels * kLanes; ++token) {
      int64_t sum = 0;
      for (int64_t k = 0; k < c.quads * kQuad; ++k) {
        const int64_t at = ((token / kLanes * c.quads + k / kQuad) * kLanes + token % kLanes) * kQuad + k % kQuad;
        sum += operands.weights[static_cast<size_t>(row * c.quads * kQuad + k)] *
               (int64_t{operands.a[at]} - operands.output.zero[token]);
      }
      written.Check(operands.output, c.way, c.activation, row, token, sum);
    }
  }
}

}  // namespace

int main() {
  test::Random random(1);
  const auto kernels = test::Runnable(KernelTable::spmm_u8s8);
  const SpmmU8S8Fn reference = test::Reference(KernelTable::spmm_u8s8);
  constexpr Activation kActivations[] = {Activation::kGelu, Activation::kIdentity, Activation::kGeluTanh,
                                         Activation::kRelu};
  constexpr Way kWays[] = {Way::kPlain, Way::kResidual, Way::kStaged, Way::kFixed};
  constexpr double kDensities[] = {0.0, 0.2, 0.6, 1.0};
  int64_t cases = 0;
  const auto check = [&](const Case& c) {
    const Operands operands(c, random);
    const PairedOperands paired(c, operands);
    Written expected(operands.rows, c.panels);
    Run(reference, c, operands, operands, c.block_rows, expected);
    CheckReference(c, operands, expected);
    for (const auto& kernel : kernels) {
      Written found(operands.rows, c.panels);
      if (WantsPairs(kernel.isa)) {
        Run(kernel.run, c, operands, paired, paired.block_rows, found);
      } else {
        Run(kernel.run, c, operands, operands, c.block_rows, found);
      }
      CHECK_THAT(found.SameAs(expected), "%s differs: blocks of %d rows, %d panels, %d groups, %d quads, %d slices",
                 kernel.name, int(c.block_rows), int(c.panels), int(c.groups), int(c.quads), int(c.slices));
    }
    ++cases;
  };
  for (int64_t block_rows : {1, 2, 4, 8}) {
    for (int64_t panels = 0; panels <= 17; ++panels) {
      for (int64_t quads : {0, 1, 2, 7, 33}) {
        const Way way = kWays[cases % 4];
        // sums cannot wait in a staged output
        const int64_t slices = way == Way::kStaged || way == Way::kFixed ? 1 : 1 + cases / 4 % 3;
        check({block_rows, panels, 1 + cases % 2, quads, slices, kDensities[cases % 4], way,
               kActivations[cases / 3 % 4], cases % 7 == 0});
      }
    }
    check({block_rows, 2, 1, 66308 / kQuad, 2, 1.0, Way::kPlain, Activation::kIdentity, true});
  }
  test::Report(kernels, cases);
  return 0;
}
