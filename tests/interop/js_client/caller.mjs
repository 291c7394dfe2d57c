// The official JavaScript SDK's client in one flavour: HTTP version, binding, protocol version.

import { readFileSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { credentials } from '@grpc/grpc-js';
import {
  ClientFactory,
  DefaultAgentCardResolver,
  JsonRpcTransportFactory,
  RestTransportFactory,
} from '@a2a-js/sdk/client';
import { GrpcTransportFactory } from '@a2a-js/sdk/client/grpc';
import { Agent, buildConnector, fetch as undiciFetch } from 'undici';

const SHORT_NAMES = { JSONRPC: 'jsonrpc', 'HTTP+JSON': 'rest', GRPC: 'grpc' };
const ROLE_USER = 1;

/** All flavours; cleartext agents speak no HTTP/2 but gRPC. */
export function flavours(plan) {
  const versions = plan.caFile ? ['h1', 'h2'] : ['h1'];
  const bindings = [['JSONRPC', '1.0'], ['HTTP+JSON', '1.0'], ['JSONRPC', '0.3']];
  return [
    ...versions.flatMap((http) => bindings.map(([binding, version]) => ({ http, binding, version }))),
    { http: 'h2', binding: 'GRPC', version: '1.0' },
  ].map((flavour) => ({
    ...flavour,
    name: `js/${flavour.http}/${SHORT_NAMES[flavour.binding]}-${flavour.version}`,
  }));
}

/** Node's own fetch for HTTP/1.1; for HTTP/2 undici's, which fails when TLS agreed on anything else. */
function fetchOf(http, tls) {
  if (http === 'h1' || !tls) return { fetchImpl: fetch, close: async () => {} };
  const connect = buildConnector({ allowH2: true });
  const dispatcher = new Agent({
    allowH2: true,
    connect: (options, done) =>
      connect(options, (error, socket) => {
        if (!error && socket.alpnProtocol !== 'h2') error = new Error(`TLS agreed on ${socket.alpnProtocol}`);
        done(error, error ? null : socket);
      }),
  });
  const fetchImpl = (url, options) => undiciFetch(url, { ...options, dispatcher });
  return { fetchImpl, close: () => dispatcher.destroy() };
}

/** A client of one agent, whose every call carries the check's key. */
export class Caller {
  key = randomUUID();
  /** More fields of the head. */
  fields = {};
  #plan;
  #entrance;
  #flavour;
  #client;
  #closeFetch;

  static async open(plan, entranceName, flavour) {
    const caller = new Caller();
    caller.#plan = plan;
    caller.#entrance = plan[entranceName];
    caller.#flavour = flavour;
    await caller.#connect();
    return caller;
  }

  async #connect() {
    const { fetchImpl, close } = fetchOf(this.#flavour.http, Boolean(this.#plan.caFile));
    this.#closeFetch = close;
    const legacyCompat = { enabled: true };
    const cardResolver = new DefaultAgentCardResolver({ fetchImpl, legacyCompat });
    this.card = await cardResolver.resolve(this.#entrance.url);
    const factory = new ClientFactory({
      transports: [
        new JsonRpcTransportFactory({ fetchImpl, legacyCompat }),
        new RestTransportFactory({ fetchImpl }),
        new GrpcTransportFactory({ grpcChannelCredentials: this.#grpcCredentials() }),
      ],
      cardResolver: { resolve: async () => this.card }, // used as it is: already resolved
    });
    this.#client = await factory.createFromAgentCard(this.#narrowedCard());
  }

  #grpcCredentials() {
    if (!this.#plan.caFile) return credentials.createInsecure();
    return credentials.createSsl(readFileSync(this.#plan.caFile));
  }

  /** The fetched card with only this flavour's interface, so that the SDK has no choice. */
  #narrowedCard() {
    const { binding, version } = this.#flavour;
    const supportedInterfaces = this.card.supportedInterfaces.filter(
      (one) => one.protocolBinding === binding && one.protocolVersion === version,
    );
    if (supportedInterfaces.length !== 1) throw new Error(`the card offers no ${this.#flavour.name}`);
    if (this.#plan.caFile) return { ...this.card, supportedInterfaces };
    // Past the gateway, which the card may name.
    const { url, grpc_target: target } = this.#entrance;
    const urls = { JSONRPC: `${url}/`, 'HTTP+JSON': url, GRPC: target };
    return { ...this.card, supportedInterfaces: [{ ...supportedInterfaces[0], url: urls[binding] }] };
  }

  async close() {
    this.#client.transport.close?.();
    await this.#closeFetch();
  }

  #options(signal) {
    return { serviceParameters: { 'x-check': this.key, ...this.fields }, signal };
  }

  #request(script, { atOnce = false, task = '' } = {}) {
    return {
      tenant: '',
      message: {
        messageId: this.key,
        contextId: '',
        taskId: task,
        role: ROLE_USER,
        parts: [{ content: { $case: 'text', value: script }, metadata: undefined, filename: '', mediaType: '' }],
        metadata: undefined,
        extensions: [],
        referenceTaskIds: [],
      },
      configuration: {
        acceptedOutputModes: [],
        taskPushNotificationConfig: undefined,
        returnImmediately: atOnce,
      },
      metadata: undefined,
    };
  }

  /** Takes another key, which is also the id of the next message. */
  renew() {
    this.key = randomUUID();
  }

  /** Sends a message without streaming, in a task or for a new one, and returns the task. */
  send(script, how) {
    return this.#client.sendMessage(this.#request(script, how), this.#options());
  }

  /** Sends a message and yields the events. */
  stream(script, signal) {
    return this.#client.sendMessageStream(this.#request(script), this.#options(signal));
  }

  /** Yields the events of a running task. */
  subscribe(id, signal) {
    return this.#client.resubscribeTask({ tenant: '', id }, this.#options(signal));
  }

  /** Fetches a task, with so many messages of its history. */
  get(id, historyLength) {
    return this.#client.getTask({ tenant: '', id, historyLength }, this.#options());
  }

  /** Cancels a task. */
  cancel(id) {
    return this.#client.cancelTask({ tenant: '', id, metadata: undefined }, this.#options());
  }

  /** The tasks of a context. */
  list(contextId) {
    const request = { tenant: '', contextId, status: 0, pageToken: '', statusTimestampAfter: undefined };
    return this.#client.listTasks(request, this.#options());
  }

  /** Asks for notifications about a task. */
  setPush(taskId, id, url = 'https://hooks.example.com/a2a') {
    const config = { tenant: '', id, taskId, url, token: 't', authentication: undefined };
    return this.#client.createTaskPushNotificationConfig(config, this.#options());
  }

  /** What is asked for under an id. */
  getPush(taskId, id) {
    return this.#client.getTaskPushNotificationConfig({ tenant: '', taskId, id }, this.#options());
  }

  /** All that is asked for about a task. */
  listPush(taskId) {
    return this.#client.listTaskPushNotificationConfig({ tenant: '', taskId, pageSize: 0, pageToken: '' }, this.#options());
  }

  /** Takes it back. */
  deletePush(taskId, id) {
    return this.#client.deleteTaskPushNotificationConfig({ tenant: '', taskId, id }, this.#options());
  }

  /** The card for callers that the agent knows. */
  extendedCard() {
    return this.#client.getAgentCard(this.#options()); // which is the extended one where the agent has one
  }

  /** Tells the agent, past the gateway, that an event arrived; returns how many it had emitted. */
  async confirm(event) {
    return (await this.#side('POST', 'confirm', { key: this.key, event })).emitted;
  }

  /** Waits until the agent has noted a fact. */
  async agentSaw(fact) {
    return (await this.#side('GET', 'wait', { key: this.key, fact })).seen;
  }

  /** Cuts the agent's connections to the gateway. */
  async cut(how) {
    const link = this.#flavour.binding === 'GRPC' ? 'grpc' : 'http';
    return (await this.#side('POST', 'cut', { link, how })).cut;
  }

  async #side(method, path, query) {
    const answer = await fetch(`${this.#entrance.control}/${path}?${new URLSearchParams(query)}`, { method });
    return answer.json();
  }
}
