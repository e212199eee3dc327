/* FANN, the Fast Artificial Neural Network library, through its own training functions. With Debian's libfann-dev and
   libcjson-dev, one program a precision; then gradparity verify exec:examples/fann/fann64 --precision float64

   cc -O2 -DDOUBLE examples/fann/backprop.c -o examples/fann/fann64 -ldoublefann -lcjson -lm
   cc -O2 examples/fann/backprop.c -o examples/fann/fann32 -lfann -lcjson -lm

   fann_compute_MSE leaves -δ of the last layer in train_errors, fann_backpropagate_MSE that of the others, and
   fann_update_slopes_batch adds -∂C/∂W and -∂C/∂b, the bias as one more input, to train_slopes: over the examples,
   whose mean its trainers take by a division at the end. The cost is half of what it adds up as its square error. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#ifdef DOUBLE
#include <doublefann.h>
#define DTYPE "F64"
#define PRECISION "float64"
#else
#include <fann.h>
#define DTYPE "F32"
#define PRECISION "float32"
#endif
#include <fann_internal.h>

#define AUTHOR "{\"name\": \"fann\", \"version\": \"2.2.0\", \"language\": \"C\"}"

/* FANN's sigmoid is 1 / (1 + e^(-2 s z)) with steepness s, and its tanh is σ_symmetric. */
static const struct { const char *ours; enum fann_activationfunc_enum own; fann_type steepness; } ACTIVATIONS[] = {
    {"identity", FANN_LINEAR, 1},
    {"sigmoid", FANN_SIGMOID, 0.5},
    {"tanh", FANN_SIGMOID_SYMMETRIC, 1},
    {"softsign", FANN_ELLIOT_SYMMETRIC, 1},
    {"hardtanh", FANN_LINEAR_PIECE_SYMMETRIC, 1},
};
enum { KNOWN = sizeof ACTIVATIONS / sizeof *ACTIVATIONS };

static const char *string_of(const cJSON *object, const char *key) {
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
}

static int number_of(const cJSON *object, const char *key) {
    return (int)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(object, key));
}

static int known(const char *name) {
    for (int i = 0; i < KNOWN; i++)
        if (strcmp(ACTIVATIONS[i].ours, name) == 0) return i;
    return -1;
}

/* ------------------------------------------------------------------------------------------- the document */

struct answer {
    cJSON *header;
    char *body;
    size_t size;
};

static struct answer begin(const char *kind, const char *id) {
    struct answer answer = {cJSON_CreateObject(), NULL, 0};
    cJSON *metadata = cJSON_AddObjectToObject(answer.header, "__metadata__");
    cJSON_AddStringToObject(metadata, "gradparity", "1");
    cJSON_AddStringToObject(metadata, "kind", kind);
    cJSON_AddStringToObject(metadata, "id", id);
    cJSON_AddStringToObject(metadata, "implementation", AUTHOR);
    return answer;
}

/* Makes room for an array, of no, one or two dimensions, and says where its values go. They stay there until the
   next call, as the body may move. */
static fann_type *add(struct answer *answer, const char *name, int layer, int dimensions, int rows, int columns) {
    char full[32];
    snprintf(full, sizeof full, layer ? "%s%d" : "%s", name, layer);
    const int shape[] = {rows, columns};
    const size_t bytes = sizeof(fann_type) * (dimensions > 0 ? rows : 1) * (dimensions > 1 ? columns : 1);
    const int offsets[] = {(int)answer->size, (int)(answer->size + bytes)};
    cJSON *entry = cJSON_AddObjectToObject(answer->header, full);
    cJSON_AddStringToObject(entry, "dtype", DTYPE);
    cJSON_AddItemToObject(entry, "shape", cJSON_CreateIntArray(shape, dimensions));
    cJSON_AddItemToObject(entry, "data_offsets", cJSON_CreateIntArray(offsets, 2));
    answer->body = realloc(answer->body, answer->size + bytes);
    answer->size += bytes;
    return (fann_type *)(answer->body + offsets[0]);
}

static void end(struct answer *answer) {
    char *json = cJSON_PrintUnformatted(answer->header);
    const uint64_t length = strlen(json);
    fwrite(&length, sizeof length, 1, stdout);
    fwrite(json, 1, length, stdout);
    fwrite(answer->body, 1, answer->size, stdout);
    fflush(stdout);
    free(json);
    free(answer->body);
    cJSON_Delete(answer->header);
}

static void decline(const char *id, const char *what, const char *which) {
    struct answer answer = begin("unsupported", id);
    char message[160];
    snprintf(message, sizeof message, "FANN %s %s", what, which);
    cJSON_AddStringToObject(cJSON_GetObjectItem(answer.header, "__metadata__"), "message", message);
    end(&answer);
}

static fann_type *array_of(const cJSON *header, char *body, const char *name, int layer) {
    char full[32];
    snprintf(full, sizeof full, layer ? "%s%d" : "%s", name, layer);
    const cJSON *entry = cJSON_GetObjectItemCaseSensitive(header, full);
    const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(entry, "data_offsets");
    return (fann_type *)(body + (size_t)cJSON_GetNumberValue(cJSON_GetArrayItem(offsets, 0)));
}

/* -------------------------------------------------------------------------------------------- the network */

static void answer(const cJSON *header, const cJSON *given, char *body, const char *id) {
    const cJSON *layers = cJSON_GetObjectItemCaseSensitive(given, "layers");
    const int L = cJSON_GetArraySize(layers);
    const char *cost = string_of(cJSON_GetObjectItemCaseSensitive(given, "cost"), "name");
    if (strcmp(string_of(given, "precision"), PRECISION)) return decline(id, "is built for " PRECISION ", not", string_of(given, "precision"));
    if (strcmp(cost, "half_squared_error")) return decline(id, "has no", cost);

    unsigned widths[L + 1];
    widths[0] = number_of(given, "inputs");
    for (int l = 1; l <= L; l++) {
        const cJSON *layer = cJSON_GetArrayItem(layers, l - 1);
        if (known(string_of(layer, "activation")) < 0) return decline(id, "has no", string_of(layer, "activation"));
        widths[l] = number_of(layer, "width");
    }

    struct fann *ann = fann_create_standard_array(L + 1, widths);
    fann_set_train_error_function(ann, FANN_ERRORFUNC_LINEAR);
    for (int l = 1; l <= L; l++) {
        const int which = known(string_of(cJSON_GetArrayItem(layers, l - 1), "activation"));
        fann_set_activation_function_layer(ann, ACTIVATIONS[which].own, l);
        fann_set_activation_steepness_layer(ann, ACTIVATIONS[which].steepness, l);
        const fann_type *W = array_of(header, body, "W", l), *b = array_of(header, body, "b", l);
        for (unsigned i = 0; i < widths[l]; i++) {
            fann_type *weights = ann->weights + ann->first_layer[l].first_neuron[i].first_con;
            memcpy(weights, W + i * widths[l - 1], widths[l - 1] * sizeof(fann_type));
            weights[widths[l - 1]] = b[i];
        }
    }

    const cJSON *shape = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(header, "x"), "shape");
    const int m = (int)cJSON_GetNumberValue(cJSON_GetArrayItem(shape, 0));
    const fann_type share = strcmp(string_of(given, "reduction"), "mean") ? 1 : m;
    fann_type *x = array_of(header, body, "x", 0), *y = array_of(header, body, "y", 0);
    struct answer made = begin("gradients", id);
    size_t delta[L + 1], z[L + 1], a[L + 1]; /* offsets, as the body moves while it grows */
    for (int l = 1; l <= L; l++) {
        delta[l] = (char *)add(&made, "delta", l, 2, m, widths[l]) - made.body;
        z[l] = (char *)add(&made, "z", l, 2, m, widths[l]) - made.body;
        a[l] = (char *)add(&made, "a", l, 2, m, widths[l]) - made.body;
    }
    for (int example = 0; example < m; example++) {
        fann_run(ann, x + example * widths[0]);
        fann_compute_MSE(ann, y + example * widths[L]);
        fann_backpropagate_MSE(ann);
        fann_update_slopes_batch(ann, ann->first_layer + 1, ann->last_layer - 1);
        for (int l = 1; l <= L; l++) {
            const struct fann_neuron *neurons = ann->first_layer[l].first_neuron;
            for (unsigned i = 0; i < widths[l]; i++) {
                const size_t at = example * widths[l] + i;
                ((fann_type *)(made.body + delta[l]))[at] =
                    -ann->train_errors[neurons + i - ann->first_layer->first_neuron] / share;
                ((fann_type *)(made.body + z[l]))[at] = neurons[i].sum / neurons[i].activation_steepness;
                ((fann_type *)(made.body + a[l]))[at] = neurons[i].value;
            }
        }
    }
    *add(&made, "cost", 0, 0, 0, 0) = (fann_type)ann->MSE_value / 2 / share;
    for (int l = 1; l <= L; l++)
        for (int bias = 0; bias < 2; bias++) {
            const unsigned n = bias ? 1 : widths[l - 1];
            fann_type *to = bias ? add(&made, "db", l, 1, widths[l], 0) : add(&made, "dW", l, 2, widths[l], n);
            for (unsigned i = 0; i < widths[l]; i++) {
                const struct fann_neuron *neuron = ann->first_layer[l].first_neuron + i;
                const fann_type *from = ann->train_slopes + neuron->first_con + (bias ? widths[l - 1] : 0);
                for (unsigned j = 0; j < n; j++) to[i * n + j] = -from[j] / share;
            }
        }
    end(&made);
    fann_destroy(ann);
}

int main(void) {
    uint64_t length;
    while (fread(&length, sizeof length, 1, stdin) == 1) {
        char *json = calloc(length + 1, 1);
        if (fread(json, 1, length, stdin) != length) return 2;
        cJSON *header = cJSON_Parse(json);
        const cJSON *metadata = cJSON_GetObjectItemCaseSensitive(header, "__metadata__"), *entry;
        size_t size = 0;
        cJSON_ArrayForEach(entry, header) {
            const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(entry, "data_offsets");
            const size_t last = offsets ? (size_t)cJSON_GetNumberValue(cJSON_GetArrayItem(offsets, 1)) : 0;
            size = last > size ? last : size;
        }
        char *body = malloc(size);
        if (fread(body, 1, size, stdin) != size) return 2;
        cJSON *given = cJSON_Parse(string_of(metadata, "architecture"));
        answer(header, given, body, string_of(metadata, "id"));
        cJSON_Delete(given);
        cJSON_Delete(header);
        free(body);
        free(json);
    }
    return 0;
}
