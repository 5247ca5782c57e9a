// Reads an OpenAPI 3.1 document for the reference page: operations by tag, schemas as outlines, and an
// example for each request. Only what this server's document uses; it validates nothing.

export interface Schema {
  $ref?: string;
  type?: string | string[];
  format?: string;
  description?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  enum?: unknown[];
  const?: unknown;
  oneOf?: Schema[];
  anyOf?: Schema[];
  allOf?: Schema[];
  additionalProperties?: boolean | Schema;
  example?: unknown;
  examples?: unknown[];
  default?: unknown;
}

export interface Parameter {
  name: string;
  in: string;
  required?: boolean;
  description?: string;
  schema?: Schema;
}

interface Body {
  description?: string;
  content?: Record<string, { schema?: Schema; example?: unknown }>;
}

interface RawOperation {
  operationId?: string;
  tags?: string[];
  summary?: string;
  description?: string;
  parameters?: Parameter[];
  requestBody?: Body;
  responses?: Record<string, Body>;
  security?: Record<string, string[]>[];
}

export interface Document {
  info?: { title?: string; version?: string; description?: string };
  tags?: { name: string; description?: string }[];
  paths?: Record<string, Record<string, RawOperation> & { parameters?: Parameter[] }>;
  components?: { schemas?: Record<string, Schema> };
  security?: Record<string, string[]>[];
}

export interface Operation {
  id: string;
  method: string;
  path: string;
  summary: string;
  description: string;
  parameters: Parameter[];
  request: { type: string; schema: Schema | null } | null;
  responses: { status: string; description: string; schema: Schema | null }[];
  open: boolean;
  /** A key is of use: it opens what is private, though anybody may ask. */
  keyed: boolean;
}

export interface Group {
  name: string;
  description: string;
  operations: Operation[];
}

const METHODS = ['get', 'post', 'put', 'patch', 'delete'];

function schemaOf(body: Body | undefined): { type: string; schema: Schema | null } | null {
  const [type, content] = Object.entries(body?.content ?? {})[0] ?? [];
  return type === undefined ? null : { type, schema: content?.schema ?? null };
}

/** Every operation of the document, grouped by its first tag in the document's order. */
export function groups(document: Document): Group[] {
  const found = new Map<string, Group>();
  for (const tag of document.tags ?? []) {
    found.set(tag.name, { name: tag.name, description: tag.description ?? '', operations: [] });
  }
  for (const [path, item] of Object.entries(document.paths ?? {})) {
    for (const method of METHODS) {
      const raw = item[method];
      if (!raw) continue;
      const name = raw.tags?.[0] ?? 'Other';
      const group = found.get(name) ?? { name, description: '', operations: [] };
      found.set(name, group);
      const security = raw.security ?? document.security ?? [];
      group.operations.push({
        id: raw.operationId ?? `${method}-${path}`.replace(/\W+/g, '-'),
        method: method.toUpperCase(),
        path,
        summary: raw.summary ?? '',
        description: raw.description ?? '',
        parameters: [...(item.parameters ?? []), ...(raw.parameters ?? [])],
        request: schemaOf(raw.requestBody),
        responses: Object.entries(raw.responses ?? {}).map(([status, body]) => ({
          status,
          description: body.description ?? '',
          schema: schemaOf(body)?.schema ?? null,
        })),
        keyed: security.some((one) => 'bearer' in one) && !path.startsWith('/api/public/'),
        open: security.length === 0 || security.some((one) => Object.keys(one).length === 0),
      });
    }
  }
  return [...found.values()].filter((group) => group.operations.length > 0);
}

/** An operation's id as words: `list-messages` becomes `List messages`. */
export function title(operation: Operation): string {
  const words = operation.id.replaceAll('-', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** Follows a reference into the document. */
export function resolve(document: Document, schema: Schema): Schema {
  const name = schema.$ref?.split('/').at(-1);
  const target = name === undefined ? undefined : document.components?.schemas?.[name];
  return target ? { ...target, ...(schema.description ? { description: schema.description } : {}) } : schema;
}

/** A schema's type in a word or two. */
export function typeName(schema: Schema | undefined): string {
  if (!schema) return 'any';
  if (schema.$ref) return schema.$ref.split('/').at(-1) ?? 'object';
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(' | ');
  const choices = schema.oneOf ?? schema.anyOf;
  if (choices) return choices.map(typeName).join(' | ');
  if (schema.allOf) return schema.allOf.map(typeName).join(' & ');
  const types = Array.isArray(schema.type) ? schema.type : [schema.type ?? 'any'];
  return types
    .map((type) => (type === 'array' ? `${typeName(schema.items)}[]` : schema.format && type === 'string' ? schema.format : type))
    .join(' | ');
}

export interface Line {
  depth: number;
  name: string;
  type: string;
  required: boolean;
  description: string;
}

const DEEPEST = 4;

/** The fields of a schema, one line each, inner objects indented. */
export function outline(document: Document, schema: Schema, depth = 0, seen: readonly string[] = []): Line[] {
  if (depth > DEEPEST || (schema.$ref && seen.includes(schema.$ref))) return [];
  const path = schema.$ref ? [...seen, schema.$ref] : seen;
  const whole = resolve(document, schema);
  if (whole.allOf) return whole.allOf.flatMap((part) => outline(document, part, depth, path));
  if (whole.items) return outline(document, whole.items, depth, path);
  const choices = (whole.oneOf ?? whole.anyOf)?.filter((choice) => choice.type !== 'null');
  if (choices?.length === 1) return outline(document, choices[0]!, depth, path);
  return Object.entries(whole.properties ?? {}).flatMap(([name, property]) => {
    const inner = resolve(document, property);
    const line: Line = {
      depth,
      name,
      type: typeName(inner.enum ? inner : property),
      required: whole.required?.includes(name) ?? false,
      description: property.description ?? inner.description ?? '',
    };
    return [line, ...outline(document, property, depth + 1, path)];
  });
}

/** A value that a schema would take. */
export function example(document: Document, schema: Schema, depth = 0): unknown {
  const whole = resolve(document, schema);
  if (whole.example !== undefined) return whole.example;
  if (whole.examples?.[0] !== undefined) return whole.examples[0];
  if (whole.default !== undefined) return whole.default;
  if (whole.const !== undefined) return whole.const;
  if (whole.enum) return whole.enum[0];
  if (depth > DEEPEST) return null;
  const choice = (whole.oneOf ?? whole.anyOf ?? whole.allOf)?.find((one) => one.type !== 'null');
  if (choice) return example(document, choice, depth + 1);
  const type = Array.isArray(whole.type) ? whole.type.find((one) => one !== 'null') : whole.type;
  if (type === 'array') return [example(document, whole.items ?? {}, depth + 1)];
  if (type === 'integer' || type === 'number') return 1;
  if (type === 'boolean') return true;
  if (type === 'string') return whole.format === 'date-time' ? '2026-02-07T12:00:00.123Z' : '…';
  const fields = Object.entries(whole.properties ?? {});
  const required = fields.filter(([name]) => whole.required?.includes(name));
  return Object.fromEntries((required.length > 0 ? required : fields).map(([name, field]) => [name, example(document, field, depth + 1)]));
}

/** The operation as a command to paste into a shell. */
export function curl(document: Document, operation: Operation, origin: string): string {
  const path = operation.path.replace(/\{(\w+)\}/g, (_, name: string) => `$${name.toUpperCase()}`);
  const query = operation.parameters
    .filter((parameter) => parameter.in === 'query' && parameter.required)
    .map((parameter) => `${parameter.name}=…`)
    .join('&');
  const lines = [`curl ${operation.method === 'GET' ? '' : `-X ${operation.method} `}"${origin}${path}${query ? `?${query}` : ''}"`];
  if (operation.keyed) lines.push('-H "Authorization: Bearer $MEET_AI_KEY"');
  if (operation.request?.schema) {
    lines.push("-H 'Content-Type: application/json'");
    lines.push(`-d '${JSON.stringify(example(document, operation.request.schema)).replaceAll("'", "'\\''")}'`);
  }
  return lines.join(' \\\n  ');
}
