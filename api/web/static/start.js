"use strict";
/* This Swagger UI knows OpenAPI up to 3.0 and refuses 3.1 by its number alone. The document uses nothing that 3.0
   would show differently. Its validator badge would ask an outside service. */
fetch("openapi.json").then((answer) => answer.json()).then((spec) => {
  spec.openapi = "3.0.3";
  /* Where this page came from, whatever proxies are on the way. */
  spec.servers = [{ url: new URL(".", location.href).pathname.replace(/\/$/, "") || "/" }];
  SwaggerUIBundle({ spec, dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null });
});
