// The reference against 64-bit integer arithmetic, every kernel against the reference, bit for bit.
#include "tests/check.h"
#include "tests/int8_output_case.h"
#include "tests/kernel_cases.h"

namespace {

using namespace limbeck;
using test::Buffer;
using test::Way;
using test::Written;

struct Case {
  int64_t panels;
  int64_t groups;
  int64_t quads;
  Way way;
  Activation activation;
  bool extreme;
};

struct Operands {
  Operands(const Case& c, test::Random& random)
      : a(c.panels * c.quads * kLanes * kQuad, 1),
        w(c.groups * c.quads * kRowGroup * kQuad, 3),
        output(c.groups * kRowGroup, c.panels, random) {
    if (c.extreme) {
      a.Fill(255);
      w.Fill(-127);
      output.zero.Fill(255);
    } else {
      a.FillIntegers(random, 0, 255);
      w.FillIntegers(random, -127, 127);
    }
    for (int64_t row = 0; row < output.rows; ++row) {
      for (int64_t k = 0; k < c.quads * kQuad; ++k) output.row_sum[row] += Weight(c, row, k);
    }
  }

  int Weight(const Case& c, int64_t row, int64_t k) const {
    return w[(((row / kRowGroup) * c.quads + k / kQuad) * kRowGroup + row % kRowGroup) * kQuad + k % kQuad];
  }
  int Input(const Case& c, int64_t token, int64_t k) const {
    return a[(((token / kLanes) * c.quads + k / kQuad) * kLanes + token % kLanes) * kQuad + k % kQuad];
  }

  Buffer<uint8_t> a;
  Buffer<int8_t> w;
  test::OutputOperands output;
};

void Run(GemmU8S8Fn kernel, const Case& c, const Operands& operands, Written& written) {
  const Int8Output output = written.Output(operands.output, c.way, c.activation);
  kernel({operands.a.data(), operands.w.data(), c.quads, output}, 0, c.groups, 0, c.panels);
}

// The definition in the header, with sums in 64 bits and nothing packed.
void CheckReference(const Case& c, const Operands& operands, const Written& written) {
  for (int64_t row = 0; row < operands.output.rows; ++row) {
    for (int64_t token = 0; token < c.panels * kLanes; ++token) {
      int64_t sum = 0;
      for (int64_t k = 0; k < c.quads * kQuad; ++k) {
        sum += int64_t{operands.Weight(c, row, k)} * (operands.Input(c, token, k) - operands.output.zero[token]);
      }
      written.Check(operands.output, c.way, c.activation, row, token, sum);
    }
  }
}

}  // namespace

int main() {
  test::Random random(1);
  const auto kernels = test::Runnable(KernelTable::gemm_u8s8);
  const GemmU8S8Fn reference = test::Reference(KernelTable::gemm_u8s8);
  constexpr Activation kActivations[] = {Activation::kIdentity, Activation::kGelu, Activation::kGeluTanh,
                                         Activation::kRelu, Activation::kTanh};
  constexpr Way kWays[] = {Way::kPlain, Way::kResidual, Way::kStaged, Way::kFixed};
  int64_t cases = 0;
  const auto check = [&](const Case& c, test::Random& source, bool unsigned_inputs) {
    Operands operands(c, source);
    if (unsigned_inputs) operands.output.zero.Fill(0);
    Written expected(operands.output.rows, c.panels);
    Run(reference, c, operands, expected);
    CheckReference(c, operands, expected);
    for (const auto& kernel : kernels) {
      Written found(operands.output.rows, c.panels);
      Run(kernel.run, c, operands, found);
      CHECK_THAT(found.SameAs(expected), "%s differs: %d panels, %d groups, %d quads", kernel.name, int(c.panels),
                 int(c.groups), int(c.quads));
    }
    ++cases;
  };
  for (int64_t panels = 0; panels <= 5; ++panels) {
    for (int64_t groups = 0; groups <= 3; ++groups) {
      for (int64_t quads : {0, 1, 2, 3, 7, 16, 33, 192}) {
        check({panels, groups, quads, kWays[cases % 4], kActivations[cases % 5], cases % 7 == 0}, random, false);
      }
    }
  }
  // The largest sums that the width check of ops/linear.cc lets through: they must not wrap.
  check({1, 1, 66308 / kQuad, Way::kPlain, Activation::kIdentity, true}, random, true);
  test::Report(kernels, cases);
  return 0;
}
