// Writes the seed corpus: random bytes, kept where they decode to a kind of model or batch that none before had.
//
// Usage: write_seeds DIRECTORY. The same seeds at every call, so none is kept in the repository.
#include <cstdio>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "fuzz/candidate.h"

namespace {

using limbeck::fuzz::BatchCandidate;
using limbeck::fuzz::Bytes;
using limbeck::fuzz::ModelCandidate;

constexpr int kAttempts = 4000;
constexpr int kBytes = 96;  // about what a model and three batches take

std::string Kind(const std::vector<uint8_t>& input) {
  Bytes bytes(input.data(), input.size());
  const ModelCandidate model = limbeck::fuzz::DecodeModel(bytes);
  std::string kind = model.fault.substr(0, model.fault.find(' '));
  if (model.owed != limbeck::fuzz::Owed::kAnswer) return kind;
  const BatchCandidate batch = limbeck::fuzz::DecodeBatch(bytes, model.spec);
  for (int part : {model.spec.precision, model.spec.head_kind, model.spec.position_mode, batch.output}) {
    kind += ' ' + std::to_string(part);
  }
  return kind + ' ' + batch.fault + ' ' + model.isa;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
    return 2;
  }
  std::mt19937 random(1);
  std::set<std::string> kinds;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    std::vector<uint8_t> input(kBytes);
    for (uint8_t& byte : input) byte = static_cast<uint8_t>(random() >> 24);
    if (!kinds.insert(Kind(input)).second) continue;
    const std::string path = std::string(argv[1]) + "/seed-" + std::to_string(attempt);
    std::FILE* file = std::fopen(path.c_str(), "wb");
    if (file == nullptr || std::fwrite(input.data(), 1, input.size(), file) != input.size() || std::fclose(file) != 0) {
      std::fprintf(stderr, "%s cannot be written\n", path.c_str());
      return 1;
    }
  }
  std::printf("%zu seeds in %s\n", kinds.size(), argv[1]);
  return 0;
}
