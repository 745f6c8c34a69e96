// Passkeys: <form data-passkey-create="OPTIONS"> makes one, <form data-passkey-get="OPTIONS"> asks for one. OPTIONS is
// the JSON of the server. The form has a hidden field "answer", which is filled in before it is sent, a button that
// submits it, and an element with data-passkey-error, which says in words what went wrong. (W3C Web Authentication,
// level 3, section 5.1; the JSON is that of PublicKeyCredential.toJSON, which not every browser has yet.)

const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));

const text = (buffer) =>
  btoa(Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join(""))
    .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

const descriptors = (list) => (list ?? []).map((one) => ({ ...one, id: bytes(one.id) }));

async function made(options) {
  const credential = await navigator.credentials.create({
    publicKey: {
      ...options,
      challenge: bytes(options.challenge),
      user: { ...options.user, id: bytes(options.user.id) },
      excludeCredentials: descriptors(options.excludeCredentials),
    },
  });
  return answer(credential, {
    attestationObject: text(credential.response.attestationObject),
    transports: credential.response.getTransports?.() ?? [],
  });
}

async function shown(options) {
  const credential = await navigator.credentials.get({
    publicKey: {
      ...options,
      challenge: bytes(options.challenge),
      allowCredentials: descriptors(options.allowCredentials),
    },
  });
  const { authenticatorData, signature, userHandle } = credential.response;
  return answer(credential, {
    authenticatorData: text(authenticatorData),
    signature: text(signature),
    userHandle: userHandle ? text(userHandle) : null,
  });
}

function answer(credential, response) {
  return JSON.stringify({
    id: credential.id,
    rawId: text(credential.rawId),
    type: credential.type,
    response: { clientDataJSON: text(credential.response.clientDataJSON), ...response },
    clientExtensionResults: {},
  });
}

// A passkey belongs to a name. At a number there is none, not even on one's own machine.
function atNumber() {
  return /^(\d+\.){3}\d+$|^\[/.test(location.hostname);
}

function reason(error, making) {
  if (atNumber()) {
    return ["127.0.0.1", "[::1]"].includes(location.hostname)
      ? `Passkeys need an address with a name. Open http://localhost${location.port && `:${location.port}`} instead.`
      : "Passkeys need an address with a name, and this one is a number. Ask the operator for the name.";
  }
  if (!isSecureContext) return "Passkeys need https. Open this page at its https address.";
  if (!window.PublicKeyCredential) return "This browser does not support passkeys. Use another browser or another way.";
  switch (error?.name) {
    case "NotAllowedError":
    case "AbortError":
      return making
        ? "No passkey was made: it was cancelled, or it took too long. You can try again."
        : "No passkey was used: it was cancelled, it took too long, or there is none here. You can try again.";
    case "InvalidStateError":
      return "There is a passkey for your account on this device already.";
    case "SecurityError":
      return "The browser refuses passkeys at this address. Open the page at the address that you were given.";
    case "NotSupportedError":
    case "ConstraintError":
      return "This device cannot keep passkeys that fit. Use another device or another way.";
    default:
      return "The browser could not do this. Try again, or use another way.";
  }
}

for (const form of document.querySelectorAll("form[data-passkey-create], form[data-passkey-get]")) {
  const making = form.dataset.passkeyCreate !== undefined;
  const field = form.elements.namedItem("answer");
  const message = form.querySelector("[data-passkey-error]") ?? document.querySelector("[data-passkey-error]");
  let busy = false;

  const tell = (words) => {
    message.textContent = words;
    message.hidden = !words;
  };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (busy) return;
    busy = true;
    tell("");
    try {
      if (!isSecureContext || !window.PublicKeyCredential || atNumber()) throw new Error();
      const options = JSON.parse(making ? form.dataset.passkeyCreate : form.dataset.passkeyGet);
      field.value = await (making ? made : shown)(options);
      form.submit();
    } catch (error) {
      busy = false;
      tell(reason(error, making));
    }
  });
  // The back button may bring the page back as it was left.
  addEventListener("pageshow", () => {
    busy = false;
    field.value = "";
  });
}
