// dlib's layers and losses, whose gradients are written by hand, in float32, the only precision they have.
// With Debian's libdlib-dev and nlohmann-json3-dev; then gradparity verify exec:examples/dlib/backprop --precision float32
//
//     c++ -std=c++17 -O2 examples/dlib/backprop.cpp -o examples/dlib/backprop -ldlib
//
// A network in dlib is a type; here its fc_ layers, activations and losses are called one after another, as that type
// calls them. Its losses are means over the batch, of classes and labels.

#include <cstdint>
#include <functional>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <dlib/dnn.h>
#include <dlib/revision.h>
#include <nlohmann/json.hpp>

using dlib::resizable_tensor, dlib::tensor, nlohmann::json;
namespace tt = dlib::tt;

struct unsupported : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// What dlib's layers and losses ask of the layer below them.
struct below {
    resizable_tensor value, gradient;
    const tensor& get_output() const { return value; }
    tensor& get_gradient_input() { return gradient; }
    static unsigned sample_expansion_factor() { return 1; }
};

struct activation {
    std::function<void(tensor& a, const tensor& z, float alpha)> forward;
    // Adds to the gradient.
    std::function<void(tensor& gradient, const tensor& a, const tensor& z, const tensor& above, float alpha)> backward;
};

#define OF_A(name) \
    {[](tensor& a, const tensor& z, float) { tt::name(a, z); }, \
     [](tensor& g, const tensor& a, const tensor&, const tensor& above, float) { tt::name##_gradient(g, a, above); }}
#define OF_Z(name) \
    {[](tensor& a, const tensor& z, float) { tt::name(a, z); }, \
     [](tensor& g, const tensor&, const tensor& z, const tensor& above, float) { tt::name##_gradient(g, z, above); }}
#define WITH(name, alpha) \
    {[](tensor& a, const tensor& z, float p) { (void)p, tt::name(a, z, alpha); }, \
     [](tensor& g, const tensor& a, const tensor&, const tensor& above, float p) { \
         (void)p, tt::name##_gradient(g, a, above, alpha); \
     }}
const std::map<std::string, activation> activations = {
    {"sigmoid", OF_A(sigmoid)}, {"tanh", OF_A(tanh)},    {"relu", OF_A(relu)},
    {"softmax", OF_A(softmax)}, {"gelu", OF_Z(gelu)},    {"silu", OF_Z(silu)},
    {"mish", OF_Z(mish)},       {"elu", WITH(elu, p)},   {"leaky_relu", WITH(leaky_relu, p)},
    {"relu6", WITH(clipped_relu, 6.0f)},
};

// The loss, and its gradient put into output.gradient.
double loss(const std::string& cost, below& output, const tensor& y) {
    const long m = y.num_samples(), n = y.k();
    const float* targets = y.host();
    const auto of = [&](long i, long j) { return targets[i * n + j]; };
    const auto all = [&](auto holds) {
        for (long i = 0; i < m * n; i++)
            if (!holds(targets[i])) return false;
        return true;
    };
    if (cost == "half_squared_error") {
        std::vector<dlib::matrix<float>> truth;
        for (long i = 0; i < m; i++) truth.push_back(dlib::mat(targets + i * n, n, 1));
        return dlib::loss_mean_squared_multioutput_().compute_loss_value_and_gradient(y, truth.begin(), output);
    }
    if (cost == "softmax_cross_entropy") {
        std::vector<unsigned long> truth;
        for (long i = 0; i < m; i++) {
            long ones = 0, zeros = 0, which = 0;
            for (long j = 0; j < n; j++) {
                ones += of(i, j) == 1, zeros += of(i, j) == 0;
                which = of(i, j) == 1 ? j : which;
            }
            if (ones != 1 || zeros != n - 1) throw unsupported("dlib's loss_multiclass_log takes a class, not probabilities");
            truth.push_back(which);
        }
        return dlib::loss_multiclass_log_().compute_loss_value_and_gradient(y, truth.begin(), output);
    }
    if (cost == "binary_cross_entropy_with_logits") {
        if (!all([](float t) { return t == 0 || t == 1; })) throw unsupported("dlib's loss_multibinary_log takes labels, not probabilities");
        std::vector<std::vector<float>> truth(m);
        for (long i = 0; i < m; i++)
            for (long j = 0; j < n; j++) truth[i].push_back(of(i, j) == 1 ? 1 : -1);
        return dlib::loss_multibinary_log_().compute_loss_value_and_gradient(y, truth.begin(), output);
    }
    if (cost == "hinge" && n == 1)
        return dlib::loss_binary_hinge_().compute_loss_value_and_gradient(y, targets, output);
    throw unsupported("dlib has no " + cost + (cost == "hinge" ? " of several outputs" : ""));
}

// ------------------------------------------------------------------------------------------------- the document

struct document {
    json header;
    std::string body;

    resizable_tensor matrix(const std::string& name) const {
        const auto& entry = header.at(name);
        const long rows = entry["shape"][0];
        resizable_tensor result(rows, entry["shape"].size() > 1 ? entry["shape"][1].get<long>() : 1);
        std::memcpy(result.host_write_only(), body.data() + entry["data_offsets"][0].get<size_t>(), result.size() * sizeof(float));
        return result;
    }

    void add(const std::string& name, const std::vector<long>& shape, const float* values) {
        size_t size = sizeof(float);
        for (long n : shape) size *= n;
        header[name] = {{"dtype", "F32"}, {"shape", shape}, {"data_offsets", {body.size(), body.size() + size}}};
        body.append(reinterpret_cast<const char*>(values), size);
    }
};

document answer(const document& given, const json& network) {
    const auto& layers = network["layers"];
    const size_t L = layers.size();
    if (network["precision"] != "float32") throw unsupported("dlib computes in float32 only");
    const resizable_tensor x = given.matrix("x"), y = given.matrix("y");
    if (network["reduction"] != "mean" && x.num_samples() > 1) throw unsupported("dlib's losses are means over the batch");

    std::vector<dlib::fc_<1, dlib::FC_HAS_BIAS>> dense;
    std::vector<below> a(L + 1), z(L);
    a[0].value = x;
    for (size_t l = 0; l < L; l++) {
        const std::string name = layers[l]["activation"];
        if (name != "identity" && !activations.count(name)) throw unsupported("dlib has no " + name);
        const float alpha = layers[l].value("alpha", 0.0f);
        auto& fc = dense.emplace_back(dlib::num_fc_outputs(layers[l]["width"].get<unsigned long>()));
        fc.setup(a[l]);
        const auto W = given.matrix("W" + std::to_string(l + 1)), b = given.matrix("b" + std::to_string(l + 1));
        float* parameters = fc.get_layer_params().host_write_only();  // W^T, and then b
        for (long j = 0; j < W.k(); j++)
            for (long i = 0; i < W.num_samples(); i++) *parameters++ = W.host()[i * W.k() + j];
        std::copy(b.begin(), b.end(), parameters);
        fc.forward(a[l], z[l].value);
        a[l + 1].value.copy_size(z[l].value);
        if (name == "identity") a[l + 1].value = z[l].value;
        else activations.at(name).forward(a[l + 1].value, z[l].value, alpha);
    }
    for (auto* nodes : {&a, &z})
        for (auto& node : *nodes) node.gradient.copy_size(node.value), node.gradient = 0;

    const float cost = loss(network["cost"]["name"], a[L], y);
    document made;
    made.add("cost", {}, &cost);
    for (size_t l = L; l-- > 0;) {
        const std::string name = layers[l]["activation"], number = std::to_string(l + 1);
        if (name == "identity") z[l].gradient = a[l + 1].gradient;
        else activations.at(name).backward(z[l].gradient, a[l + 1].value, z[l].value, a[l + 1].gradient, layers[l].value("alpha", 0.0f));
        resizable_tensor parameters;
        parameters.copy_size(dense[l].get_layer_params());
        parameters = 0;
        dense[l].backward(z[l].gradient, a[l], parameters);
        const long n = z[l].value.k(), before = a[l].value.k(), m = x.num_samples();
        std::vector<float> dW;
        for (long i = 0; i < n; i++)
            for (long j = 0; j < before; j++) dW.push_back(parameters.host()[j * n + i]);
        made.add("dW" + number, {n, before}, dW.data());
        made.add("db" + number, {n}, parameters.host() + before * n);
        made.add("delta" + number, {m, n}, z[l].gradient.host());
        made.add("z" + number, {m, n}, z[l].value.host());
        made.add("a" + number, {m, n}, a[l + 1].value.host());
    }
    return made;
}

int main() {
    const std::string version = std::to_string(DLIB_MAJOR_VERSION) + "." + std::to_string(DLIB_MINOR_VERSION);
    const json author = {{"name", "dlib"}, {"version", version}, {"language", "C++"}};
    uint64_t length;
    while (std::cin.read(reinterpret_cast<char*>(&length), sizeof length)) {
        std::string text(length, '\0');
        std::cin.read(text.data(), length);
        document given{json::parse(text), {}}, made;
        const json metadata = given.header["__metadata__"];
        size_t size = 0;
        for (const auto& [name, entry] : given.header.items())
            if (name != "__metadata__") size = std::max(size, entry["data_offsets"][1].get<size_t>());
        given.body.resize(size);
        std::cin.read(given.body.data(), size);

        json about = {{"gradparity", "1"}, {"id", metadata["id"]}, {"implementation", author.dump()}};
        try {
            made = answer(given, json::parse(metadata["architecture"].get<std::string>()));
            about["kind"] = "gradients";
        } catch (const unsupported& reason) {
            about["kind"] = "unsupported", about["message"] = reason.what();
        } catch (const std::exception& error) {
            about["kind"] = "error", about["message"] = error.what();
        }
        made.header["__metadata__"] = about;
        const std::string header = made.header.dump();
        length = header.size();
        std::cout.write(reinterpret_cast<const char*>(&length), sizeof length) << header << made.body << std::flush;
    }
}
