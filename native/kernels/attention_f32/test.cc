// The reference against double precision, every kernel against the reference bit for bit, wherever a sequence starts.
#include <cmath>

#include "tests/check.h"
#include "tests/kernel_cases.h"

namespace {

using namespace limbeck;
using test::Buffer;

int64_t Offset(int64_t rows, int64_t token, int64_t row) {
  return ((token / kLanes) * rows + row) * kLanes + token % kLanes;
}

struct Case {
  int64_t first;
  int64_t length;
  int64_t width;
  int64_t queries;
  int64_t out_token;
};

constexpr int64_t kHeads = 2;
constexpr int64_t kHead = 1;

AttentionArgs Args(const Case& c, const Buffer<float>& in, Buffer<float>& out, Buffer<float>& scratch) {
  AttentionArgs args;
  args.in = in.data();
  args.in_rows = 3 * kHeads * c.width;
  args.query_row = kHead * c.width;
  args.key_row = (kHeads + kHead) * c.width;
  args.value_row = (2 * kHeads + kHead) * c.width;
  args.head_width = c.width;
  args.scale = 1.0f / std::sqrt(static_cast<float>(c.width));
  args.first_token = c.first;
  args.length = c.length;
  args.queries = c.queries;
  args.out = out.data();
  args.out_rows = kHeads * c.width;
  args.out_row = kHead * c.width;
  args.out_token = c.out_token;
  args.scratch = scratch.data();
  return args;
}

void CheckReference(const Case& c, const AttentionArgs& args) {
  for (int64_t query = 0; query < c.queries; ++query) {
    std::vector<double> p(static_cast<size_t>(c.length));
    double highest = -1e300;
    for (int64_t key = 0; key < c.length; ++key) {
      double s = 0;
      for (int64_t d = 0; d < c.width; ++d) {
        s += static_cast<double>(args.in[Offset(args.in_rows, c.first + query, args.query_row + d)]) *
             args.in[Offset(args.in_rows, c.first + key, args.key_row + d)];
      }
      p[static_cast<size_t>(key)] = s / std::sqrt(static_cast<double>(c.width));
      highest = std::fmax(highest, p[static_cast<size_t>(key)]);
    }
    double total = 0;
    for (double& value : p) total += value = std::exp(value - highest);
    for (int64_t d = 0; d < c.width; ++d) {
      double sum = 0;
      for (int64_t key = 0; key < c.length; ++key) {
        sum += p[static_cast<size_t>(key)] * args.in[Offset(args.in_rows, c.first + key, args.value_row + d)];
      }
      const double got = args.out[Offset(args.out_rows, c.out_token + query, args.out_row + d)];
      CHECK_THAT(std::fabs(got - sum / total) < 1e-4, "query %d: %g, expected %g", int(query), got, sum / total);
    }
  }
}

}  // namespace

int main() {
  test::Random random(5);
  const auto kernels = test::Runnable(KernelTable::attention);
  const AttentionFn reference = test::Reference(KernelTable::attention);
  int64_t cases = 0;
  for (int64_t width : {1, 3, 8, 12, 32, 64}) {
    for (int64_t length : {1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 65}) {
      for (int64_t first : {0, 1, 5, 15, 16, 29}) {
        Case c = {first, length, width, length, first};
        if (cases % 3 == 1) {  // the last layer of a classifier: one query, its answer among other sequences'
          c.queries = 1;
          c.out_token = 3;
        }
        const int64_t panels = RoundUp(first + length, kLanes) / kLanes;
        Buffer<float> in(panels * 3 * kHeads * width * kLanes, 1);
        in.FillUniform(random, -4, 4);
        Buffer<float> expected(panels * kHeads * width * kLanes, 1);
        expected.Fill(-7.0f);
        Buffer<float> scratch(AttentionScratch(length, width));
        const AttentionArgs args = Args(c, in, expected, scratch);
        reference(args);
        CheckReference(c, args);
        for (const auto& kernel : kernels) {
          Buffer<float> out(expected.size(), 1);
          out.Fill(-7.0f);  // what belongs to other tokens and heads must stay
          kernel.run(Args(c, in, out, scratch));
          CHECK_THAT(SameBits(out, expected), "%s differs: width %d, length %d, first %d", kernel.name, int(width),
                     int(length), int(first));
        }
        ++cases;
      }
    }
  }
  test::Report(kernels, cases);
  return 0;
}
