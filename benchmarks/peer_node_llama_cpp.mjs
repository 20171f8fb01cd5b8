// node-llama-cpp behind lines of JSON: prompts come in, a line goes out for each token, and one more
// with the text at the end of an answer. NODE_LLAMA_CPP names the folder of node_modules.

import {join} from "node:path";
import {createInterface} from "node:readline";
import {pathToFileURL} from "node:url";

const [path, settings] = process.argv.slice(2);
const options = JSON.parse(settings);
const entry = join(process.env.NODE_LLAMA_CPP, "node_modules/node-llama-cpp/dist/index.js");
const {getLlama} = await import(pathToFileURL(entry));

const llama = await getLlama({
    gpu: false, build: "never", skipDownload: true, progressLogs: false, logLevel: "error",
    maxThreads: options.n_threads
});
const model = await llama.loadModel({modelPath: path, gpuLayers: 0});
const context = await model.createContext({
    sequences: options.slots,
    contextSize: Math.floor(options.n_ctx / options.slots),
    batchSize: options.n_batch,
    threads: {ideal: options.n_threads, min: options.n_threads}
});
// The one that was used last is at the end.
const idle = Array.from({length: options.slots}, () => context.getSequence());

function write(event) {
    process.stdout.write(JSON.stringify(event) + "\n");
}

function sharedLength(sequence, tokens) {
    const known = sequence.contextTokens;
    const end = Math.min(known.length, tokens.length);
    let count = 0;
    while (count < end && known[count] === tokens[count])
        count++;
    return count;
}

// A conversation goes on in its own sequence; a new one takes that which was idle longest.
function take(tokens) {
    const own = idle.findIndex((sequence) => {
        const shared = sharedLength(sequence, tokens);
        return shared > 0 && shared >= sequence.contextTokens.length / 2;
    });
    return idle.splice(Math.max(own, 0), 1)[0];
}

async function answer(index, sequence, tokens, numTokens, temperature) {
    // The last token has to be computed again, for what follows it.
    await sequence.adaptStateToTokens(tokens.slice(0, -1), false);
    const numCached = sequence.nextTokenIndex;
    const written = [];
    for await (const token of sequence.evaluate(tokens.slice(numCached), {temperature})) {
        written.push(token);
        write({index});
        if (written.length === numTokens)
            break;
    }
    idle.push(sequence);
    write({index, text: model.detokenize(written), num_cached: numCached});
}

write({ready: true});
for await (const line of createInterface({input: process.stdin})) {
    const {prompts, num_tokens: numTokens, temperature = 0} = JSON.parse(line);
    const given = prompts.map((prompt) => model.tokenize(prompt, true));
    const taken = given.map(take);
    await Promise.all(given.map(
        (tokens, index) => answer(index, taken[index], tokens, numTokens, temperature)
    ));
}
process.exit(0);
