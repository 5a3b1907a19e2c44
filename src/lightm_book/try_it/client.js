"use strict";
// Asks the service of the exported page (service.js), in a worker if the browser allows one, one question at a time.
var lightm = globalThis.lightm || (globalThis.lightm = {});

lightm.Client = class {
  constructor() {
    this.last = Promise.resolve();
    this.id = 0;
    this.told = () => {};
  }

  // -> when the network is there. weights: a copy of its bytes goes to the worker.
  async open(module, description, weights) {
    const order = () => ({ type: "open", module, description, weights: weights.slice() });
    try {
      await this.inWorker(order());
    } catch (error) {
      if (error.message) throw error; // the service's own sentence; a worker that does not start has none
      this.last = Promise.resolve();
      const rest = () => new Promise((resolve) => setTimeout(resolve));
      this.post = lightm.service((message) => setTimeout(() => this.told(message)), rest);
      await this.ask(order());
    }
  }

  inWorker(order) {
    return new Promise((resolve, reject) => {
      const source = new Blob([`(${lightmRuntime})()`], { type: "text/javascript" });
      let worker;
      try {
        worker = new Worker(URL.createObjectURL(source));
      } catch {
        return reject(new Error());
      }
      worker.onmessage = (event) => this.told(event.data);
      worker.onerror = () => reject(new Error());
      this.post = (message) => worker.postMessage(message);
      this.ask(order).then(resolve, reject);
    });
  }

  // -> the last of the answers; each: called with those before it. Rejected with the service's sentence.
  ask(message, each = () => {}) {
    const asked = () =>
      new Promise((resolve, reject) => {
        const id = ++this.id;
        this.told = (answer) => {
          if (answer.id !== undefined && answer.id !== id) return;
          if (answer.type === "failed") reject(new Error(answer.message));
          else if (["progress", "picture"].includes(answer.type)) each(answer);
          else resolve(answer);
        };
        this.post({ ...message, id });
      });
    const answer = this.last.then(asked);
    this.last = answer.catch(() => {});
    return answer;
  }
};
