/* A whole implementation in one file, with the C library alone: it reads cases from standard input and writes answers.

       cc -O2 examples/minimal/backprop.c -o backprop -lm
       gradparity verify 'exec:./backprop' --only sigmoid,half_squared_error

   It knows the sigmoid and the quadratic cost, and declines the rest. It computes in double; what is kept is rounded
   to the case's precision. The machine must be little-endian, as the document is. */

#define _POSIX_C_SOURCE 200809L /* open_memstream */

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DECLINED "sigmoid and half_squared_error only, in float64 and float32"
#define AUTHOR "{\\\"name\\\":\\\"minimal\\\",\\\"version\\\":\\\"1\\\",\\\"language\\\":\\\"C\\\"}"
#define BLANK " \t\r\n"

/* --------------------------------------------------------------------------------------------------- memory */

static struct block { struct block *next; double bytes[]; } *blocks; /* all that this case needed */

static void *allocate(size_t bytes) {
    struct block *block = malloc(sizeof *block + bytes);
    if (block == NULL) exit((fputs("out of memory\n", stderr), 1));
    block->next = blocks;
    return (blocks = block)->bytes;
}

static void release(void) {
    for (struct block *next; blocks != NULL; blocks = next) { next = blocks->next; free(blocks); }
}

/* --------------------------------------------------------------------------------------------------- arrays */

/* A row for each example (x, y, z, a, δ) or neuron (W, ∂C/∂W); a vector is one row, a scalar one number. */
struct array { long rows, columns, down, right; double *first; };
#define AT(array, i, j) (array).first[(i) * (array).down + (j) * (array).right]

static size_t size; /* of a number in the case's precision: 8 in float64, 4 in float32 */

static double rounded(double value) { return size == 4 ? (float)value : value; }

static struct array make(long rows, long columns) {
    return (struct array){rows, columns, columns, 1, allocate(sizeof(double) * rows * columns)};
}

static struct array transposed(struct array A) { return (struct array){A.columns, A.rows, A.right, A.down, A.first}; }

static struct array product(struct array A, struct array B) {
    struct array C = make(A.rows, B.columns);
    for (long i = 0; i < C.rows; i++)
        for (long j = 0; j < C.columns; j++) {
            double sum = 0;
            for (long k = 0; k < A.columns; k++) sum += AT(A, i, k) * AT(B, k, j);
            AT(C, i, j) = rounded(sum);
        }
    return C;
}

/* ----------------------------------------------------------------------------------------- just enough JSON */

/* Where the value of the next key of that name begins, or NULL. Quotes within strings are escaped, so that a name
   between quotes and before a colon is a key. */
static const char *value_of(const char *key, const char *text) {
    char quoted[32];
    const int n = snprintf(quoted, sizeof quoted, "\"%s\"", key);
    while ((text = strstr(text, quoted)) != NULL) {
        text += n + strspn(text + n, BLANK);
        if (*text == ':') return text + 1 + strspn(text + 1, BLANK);
    }
    return NULL;
}

static const char *needed(const char *key, const char *text) {
    const char *value = value_of(key, text);
    if (value == NULL) exit((fprintf(stderr, "the document has no %s\n", key), 1));
    return value;
}

static int is(const char *value, const char *text) { /* whether a string is this one */
    return *value == '"' && !strncmp(value + 1, text, strlen(text)) && value[1 + strlen(text)] == '"';
}

static char *string(const char *value) { /* what a string says, where only quotes are escaped in it */
    char *text = allocate(strlen(value) + 1), *t = text;
    for (const char *s = value + (*value == '"'); *s && *s != '"'; s++)
        if (*s != '\\' || *++s) *t++ = *s;
    *t = 0;
    return text;
}

/* ---------------------------------------------------------------------------------------------- the document */

static char *take(size_t n) { /* the next n bytes; at the end of input the program ends */
    char *bytes = allocate(n + 1);
    if (fread(bytes, 1, n, stdin) < n) exit(0);
    bytes[n] = 0;
    return bytes;
}

static struct array array_of(const char *header, const char *body, const char *name, int l) {
    char full[32];
    snprintf(full, sizeof full, l ? "%s%d" : "%s", name, l);
    const char *entry = needed(full, header);
    long shape[2] = {0, 0}, first = 0;
    const int dimensions = sscanf(needed("shape", entry), "[ %ld , %ld", &shape[0], &shape[1]);
    sscanf(needed("data_offsets", entry), "[ %ld", &first);
    struct array A = dimensions == 2 ? make(shape[0], shape[1]) : make(1, shape[0]);
    for (long i = 0; i < A.rows * A.columns; i++) {
        float narrow;
        if (size == 8) memcpy(&A.first[i], body + first + 8 * i, 8);
        else memcpy(&narrow, body + first + 4 * i, 4), A.first[i] = narrow;
    }
    return A;
}

static struct { FILE *header, *body; char *text, *bytes; size_t length, end; } answer;

static void begin(const char *kind, const char *id) {
    answer.header = open_memstream(&answer.text, &answer.length);
    answer.body = open_memstream(&answer.bytes, &answer.end);
    fprintf(answer.header, "{\"__metadata__\":{\"gradparity\":\"1\",\"kind\":\"%s\",\"id\":\"%s\"", kind, id);
    if (!strcmp(kind, "unsupported")) fprintf(answer.header, ",\"message\":\"" DECLINED "\"");
    fprintf(answer.header, ",\"implementation\":\"" AUTHOR "\"}");
}

static void add(const char *name, int l, int dimensions, struct array A) {
    const long first = ftell(answer.body), n = A.rows * A.columns;
    fprintf(answer.header, l ? ",\"%s%d\":" : ",\"%s\":", name, l);
    fprintf(answer.header, "{\"dtype\":\"%s\",\"shape\":[", size == 8 ? "F64" : "F32");
    if (dimensions == 2) fprintf(answer.header, "%ld,", A.rows);
    if (dimensions > 0) fprintf(answer.header, "%ld", A.columns);
    fprintf(answer.header, "],\"data_offsets\":[%ld,%ld]}", first, first + n * (long)size);
    for (long i = 0; i < n; i++) {
        const float narrow = (float)A.first[i];
        fwrite(size == 8 ? (const void *)&A.first[i] : &narrow, size, 1, answer.body);
    }
}

static void end(void) {
    fputs("}", answer.header);
    fclose(answer.header), fclose(answer.body);
    const uint64_t length = answer.length;
    fwrite(&length, sizeof length, 1, stdout);
    fwrite(answer.text, 1, answer.length, stdout);
    fwrite(answer.bytes, 1, answer.end, stdout);
    fflush(stdout);
    free(answer.text), free(answer.bytes);
}

/* --------------------------------------------------------------------------------------------- the equations */

static double sigmoid(double z) { /* 1 / (1 + e^-z), without overflow */
    const double fall = exp(-fabs(z));
    return (z >= 0 ? 1 : fall) / (1 + fall);
}

static void gradients(const char *header, const char *body, int L, int mean) {
    const struct array x = array_of(header, body, "x", 0), y = array_of(header, body, "y", 0);
    const double share = mean ? x.rows : 1;
    struct array W[L + 1], a[L + 1], delta = y;

    a[0] = x;
    for (int l = 1; l <= L; l++) {
        W[l] = array_of(header, body, "W", l);
        struct array b = array_of(header, body, "b", l), z = product(a[l - 1], transposed(W[l]));
        a[l] = make(z.rows, z.columns);
        for (long i = 0; i < z.rows; i++)
            for (long j = 0; j < z.columns; j++) {
                AT(z, i, j) = rounded(AT(z, i, j) + AT(b, 0, j));
                AT(a[l], i, j) = rounded(sigmoid(AT(z, i, j)));
            }
        add("z", l, 2, z), add("a", l, 2, a[l]);
    }

    struct array off = make(y.rows, y.columns), ones = make(1, x.rows), cost = make(1, 1);
    *cost.first = 0;
    for (long i = 0; i < x.rows; i++) AT(ones, 0, i) = 1;
    for (long i = 0; i < y.rows * y.columns; i++) {
        off.first[i] = (a[L].first[i] - y.first[i]) / share;
        *cost.first += off.first[i] * (a[L].first[i] - y.first[i]) / 2;
    }
    add("cost", 0, 0, cost);

    for (int l = L; l >= 1; l--) {
        delta = l == L ? off : product(delta, W[l + 1]);
        for (long i = 0; i < delta.rows * delta.columns; i++) { /* BP1 and BP2: times σ′(z) = a (1 - a) */
            const double a_i = a[l].first[i];
            delta.first[i] = rounded(delta.first[i] * a_i * (1 - a_i));
        }
        add("delta", l, 2, delta);
        add("db", l, 1, product(ones, delta)); /* BP3 */
        add("dW", l, 2, product(transposed(delta), a[l - 1])); /* BP4 */
    }
}

int main(void) {
    for (;; release()) {
        uint64_t length;
        memcpy(&length, take(sizeof length), sizeof length);
        const char *header = take(length), *network = string(needed("architecture", header));
        long total = 0, last = 0; /* the body is as long as the last place says */
        for (const char *s = header; (s = value_of("data_offsets", s)) != NULL;)
            if (sscanf(s, "[ %*d , %ld", &last) == 1 && last > total) total = last;
        const char *body = take(total), *precision = needed("precision", network);

        size = is(precision, "float64") ? 8 : is(precision, "float32") ? 4 : 0;
        int L = 0, known = size && is(needed("name", needed("cost", network)), "half_squared_error");
        for (const char *s = network; (s = value_of("activation", s)) != NULL; L++) known = known && is(s, "sigmoid");

        begin(known ? "gradients" : "unsupported", string(needed("id", header)));
        if (known) gradients(header, body, L, is(needed("reduction", network), "mean"));
        end();
    }
}
